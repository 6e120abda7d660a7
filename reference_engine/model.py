"""A model: sizes, weights, tokenizer. See `model_loader` for those that have names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar, cast

import torch
from torch import Tensor

from reference_engine.llama.config import SHAPES, LlamaConfig
from reference_engine.llama.weights import ModelError, random_weights

if TYPE_CHECKING:
    from tokenizers import Tokenizer

__all__ = ["Model", "ModelError", "random_model"]

T = TypeVar("T")


@dataclass(frozen=True)
class Model:
    """Weights by their Hugging Face names, all on one device and of one dtype. Nobody changes them.

    folder: where the checkpoint, its tokenizer and its further heads lie; None for random weights. made: see `kept`.
    """

    name: str
    config: LlamaConfig
    weights: Mapping[str, Tensor]
    folder: Path | None = None
    made: dict[type, object] = field(default_factory=dict, init=False, repr=False, compare=False)

    def kept(self, kind: type[T], make: Callable[[], T]) -> T:
        """What a runner makes of the weights, of class `kind`: made once, for all engines of this very model."""
        if kind not in self.made:
            self.made[kind] = make()
        return cast(T, self.made[kind])

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.weights["model.norm.weight"].device

    @property
    def dtype(self) -> torch.dtype:
        """What the weights are."""
        return self.weights["model.norm.weight"].dtype

    @property
    def head(self) -> Tensor:
        """The LM head `[vocab, width]`."""
        return self.weights["model.embed_tokens.weight" if self.config.tied else "lm_head.weight"]

    @cached_property
    def tokenizer(self) -> Tokenizer:
        """The checkpoint's tokenizer. Raises ModelError when it has none or it is broken."""
        from tokenizers import Tokenizer

        if self.folder is None:
            raise ModelError(f"{self.name} has random weights and no tokenizer: give it token ids")
        path = self.folder / "tokenizer.json"
        if not path.exists():
            raise ModelError(f"{path} is missing")
        try:
            return Tokenizer.from_file(str(path))
        except Exception as error:  # the tokenizers library raises bare Exception
            raise ModelError(f"{path} cannot be read: {error}") from error


def random_model(
    shape: str | LlamaConfig,
    seed: int = 0,
    *,
    device: torch.device | str = "cpu",
    dtype: torch.dtype = torch.float32,
) -> Model:
    """A model with weights from a seed, of a shape known by name or given. Raises ModelError for an unknown name."""
    if isinstance(shape, str) and shape not in SHAPES:
        raise ModelError(f"no shape called {shape!r}: choose one of {', '.join(SHAPES)}")
    config = SHAPES[shape] if isinstance(shape, str) else shape
    label = shape if isinstance(shape, str) else "custom"
    weights = random_weights(config, seed, device=torch.device(device), dtype=dtype)
    return Model(f"random:{label}@{seed}", config, weights)
