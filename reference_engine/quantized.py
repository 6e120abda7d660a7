"""A model whose matrices were rounded to int8 in groups, as llama.cpp's Q8_0 rounds them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor

from reference_engine.formats import GROUP, to_int8
from reference_engine.model import Model

SUFFIX = "q8_0"


@dataclass(frozen=True, kw_only=True)
class Quantized(Model):
    """original: what was rounded. It has no folder: the original's holds other weights."""

    original: Model

    @property
    def source(self) -> Path | None:
        """The original's."""
        return self.original.source


def quantized(model: Model) -> Quantized:
    """`model` with matrices on the grid of int8, as fp32: another model, which says nearly the
    same.

    Every engine can be given these very weights; those that have a format for them read a quarter
    of the bytes and lose nothing more. A matrix whose rows are no groups of GROUP is rounded to
    bf16, norms are left as they are.
    """
    weights = {name: _rounded(weight) for name, weight in model.weights.items()}
    return Quantized(
        name=f"{model.name}:{SUFFIX}", config=model.config, weights=weights, original=model
    )


def _rounded(weight: Tensor) -> Tensor:
    if weight.dim() < 2:
        return weight.float()
    return weight.bfloat16().float() if weight.shape[-1] % GROUP else to_int8(weight)
