"""Speculation with a draft model: a small model guesses token after token, the large one reads them
in one pass.

Whether a guess stands is decided by a part (exercise 5). Idea: Leviathan et al., arXiv 2211.17192,
and Chen et al., arXiv 2302.01318. Importing this package imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reference_engine.model import Model

GUESSES = 4
"""Of a chain, unless somebody asks for another number."""


def draft_for(model: Model) -> Model:
    """The draft model that was trained for the waiter, on the device and in the dtype of `model`.

    Raises ModelError, in one sentence, when it cannot be read.
    """
    from reference_engine.model_loader import load_model
    from reference_engine.waiter import DRAFT

    return load_model(DRAFT, device=model.device, dtype=model.dtype)
