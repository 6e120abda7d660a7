"""A small model embedded in a larger shape: it says the same, and every step costs what the large
model costs.

So speculation, batching and kernels can be measured at a real model's cost with the small model's
real answers, without downloading anything. Every weight of the large shape exists and is
multiplied; those that are not the small model's come from a seed. Why the text is the same:

* Residual stream: the small model's dimensions come first, the others are always zero, because
  nothing writes to them. Their weights in q, k, v, gate and up read zeros, so they may be anything.
* RMSNorm: the mean of squares shrinks by d / D. With eps · d / D, and the norm's weight times
  sqrt(d / D), it gives exactly the old values.
* Heads: KV head g stays g, and its queries stay in its group. Pair i of a head of width w becomes
  pair m·i of the head of width m·w: theta^(−2mi / mw) = theta^(−2i / w), so it turns as before. The
  other pairs of the query are zero; the query grows by sqrt(m) because scores are divided by
  sqrt(m·w). Added heads attend, and nobody reads them.
* Added layers compute everything and add zero: their last matrices (o, down) are zero. They cannot
  write to the unused dimensions either, for the next norm would see it.
* Added vocabulary rows are the mean of the real ones, so their logit is the mean of the real
  logits, below the largest.
* Medusa heads: their hidden states are the small model's, and their unused dimensions and rows are
  treated alike.

In fp32 the texts are equal but for near-ties. In bf16 the factors are rounded, and near-ties are
more. A matrix product with zeros takes as long as any, as far as it is bound by memory, which
decoding is.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from reference_engine.llama.config import SHAPES, LlamaConfig
from reference_engine.llama.weights import ModelError
from reference_engine.memory import refuse_what_does_not_fit
from reference_engine.model import Model

STRETCHES: Mapping[str, LlamaConfig] = {
    "20m": LlamaConfig(
        vocab=1024,
        width=384,
        layers=8,
        heads=8,
        kv_heads=4,
        head_width=64,
        inner=1536,
        positions=4096,
        tied=True,
    ),
    "50m": LlamaConfig(
        vocab=8192,
        width=512,
        layers=12,
        heads=8,
        kv_heads=4,
        head_width=64,
        inner=2048,
        positions=4096,
        tied=True,
    ),
    "0.1b": SHAPES["llama-0.1b"],
    "1b": SHAPES["llama-1b"],
    "8b": SHAPES["llama-8b"],
}
"""Shapes by the names that `load_model("waiter@<name>")` takes; those of `SHAPES` are taken too."""


@dataclass(frozen=True, kw_only=True)
class Stretched(Model):
    """A model in a larger shape than its own. original: what it was made of, and says the same as.

    It has no folder: the original's holds other weights. Whoever wants one writes it
    (`model.write`).
    """

    original: Model

    @property
    def source(self) -> Path | None:
        """The original's."""
        return self.original.source


def stretch(model: Model, shape: str | LlamaConfig, seed: int = 0) -> Stretched:
    """`model` in the sizes of `shape`, a config or a name of one, unused weights from `seed`.

    On the model's device, of its dtype. Its tokenizer is the model's. Raises ModelError, in one
    sentence, for an unknown name and a shape that the model does not fit in.
    """
    config = stretched_config(model.config, shape_to_stretch_to(shape))
    label = shape if isinstance(shape, str) else "custom"
    refuse_what_does_not_fit(f"{model.name}@{label}", config, model.dtype, model.device)
    layout = _Layout(model.config, config)
    weights = {
        name: _weight(name, size, model, layout, seed) for name, size in config.shapes().items()
    }
    return Stretched(name=f"{model.name}@{label}", config=config, weights=weights, original=model)


def stretched_config(small: LlamaConfig, large: LlamaConfig) -> LlamaConfig:
    """The sizes of `large` with what the small model's function fixes. Raises ModelError when it
    does not fit."""
    for name in ("vocab", "width", "layers", "kv_heads", "head_width", "inner"):
        if getattr(large, name) < getattr(small, name):
            raise ModelError(
                f"the shape has {name} {getattr(large, name)}, less than the model's {getattr(small, name)}"
            )
    if large.heads // large.kv_heads < small.heads // small.kv_heads:
        raise ModelError(
            f"{large.heads} heads over {large.kv_heads} leave no room for the model's groups"
        )
    if large.head_width % small.head_width:
        raise ModelError(
            f"heads {large.head_width} wide are no multiple of the model's {small.head_width}"
        )
    if small.qk_norm or large.qk_norm:
        raise ModelError("queries and keys that are normed per head cannot be stretched")
    if large.tied and not small.tied:
        raise ModelError("the shape ties its LM head to the embedding, the model does not")
    return replace(
        large,
        positions=max(small.positions, large.positions),
        rope_theta=small.rope_theta,
        norm_eps=small.norm_eps * small.width / large.width,
    )


@dataclass(frozen=True, slots=True)
class _Layout:
    """Where the small model's dimensions go."""

    small: LlamaConfig
    large: LlamaConfig

    @property
    def turn(self) -> Tensor:
        """int64 [small.head_width]: the place of each dimension in a large head."""
        half, times = self.small.head_width // 2, self.large.head_width // self.small.head_width
        first = torch.arange(half) * times
        return torch.cat((first, first + self.large.head_width // 2))

    @property
    def heads(self) -> Tensor:
        """int64 [small.heads]: the large head that each query head becomes."""
        group, wide = (
            self.small.heads // self.small.kv_heads,
            self.large.heads // self.large.kv_heads,
        )
        head = torch.arange(self.small.heads)
        return head // group * wide + head % group

    @property
    def queries(self) -> Tensor:
        """int64 [small.queries]: the place of each query column."""
        return (self.heads[:, None] * self.large.head_width + self.turn).flatten()

    @property
    def keys(self) -> Tensor:
        """int64 [small.keys]: the place of each key or value column."""
        return (
            torch.arange(self.small.kv_heads)[:, None] * self.large.head_width + self.turn
        ).flatten()


def _weight(name: str, shape: tuple[int, ...], model: Model, layout: _Layout, seed: int) -> Tensor:
    """One tensor of the stretched model."""
    like, kind = model.weights["model.norm.weight"], name.removesuffix(".weight").rpartition(".")[2]
    source = model.weights.get(name)
    if kind == "lm_head":
        source = model.head
    if kind.endswith("norm") or kind in _ENDS:
        big = torch.zeros(shape, device=like.device, dtype=like.dtype)
    else:
        big = random_weight(name, shape, seed, like.device, like.dtype)
    if kind.endswith("norm"):
        return _norm(big, source, layout)
    if source is not None:
        _place(big, source, kind, layout)
    return big


_ENDS = frozenset({"o_proj", "down_proj", "embed_tokens"})
"""Those that write to the residual stream: zero wherever the small model's weights are not."""


def _norm(big: Tensor, source: Tensor | None, layout: _Layout) -> Tensor:
    """A norm's weight: ones beside the rescaled weight of the small model."""
    big.fill_(1.0)
    if source is not None:
        big[: layout.small.width] = (
            source.float() * math.sqrt(layout.small.width / layout.large.width)
        ).to(big.dtype)
    return big


def _place(big: Tensor, source: Tensor, kind: str, layout: _Layout) -> None:
    """Write the small model's matrix `source` into `big`, which is random or zero."""
    small, large = layout.small, layout.large
    if kind == "q_proj":
        big.view(large.heads, large.head_width, -1)[layout.heads.to(big.device)] = 0
        grown = source.float() * math.sqrt(large.head_width / small.head_width)
        big[layout.queries.to(big.device), : small.width] = grown.to(big.dtype)
    elif kind in ("k_proj", "v_proj"):
        big[layout.keys.to(big.device), : small.width] = source
    elif kind == "o_proj":
        big[: small.width, layout.queries.to(big.device)] = source
    else:
        big[: source.shape[0], : source.shape[1]] = source
    if kind in ("embed_tokens", "lm_head"):
        big[small.vocab :, : small.width] = mean_row(source)


def mean_row(rows: Tensor) -> Tensor:
    """`[..., V, d]` -> `[..., 1, d]`: a row whose logit is the mean of the others', hence never the
    largest."""
    return rows.float().mean(-2, keepdim=True).to(rows.dtype)


def random_weight(
    name: str, shape: tuple[int, ...], seed: int, device: torch.device, dtype: torch.dtype
) -> Tensor:
    """Normal numbers that depend on seed, name and device type alone, scaled to keep the size of
    activations."""
    generator = torch.Generator(device=device)
    generator.manual_seed(zlib.crc32(f"{seed} {name}".encode()))
    return torch.randn(shape, generator=generator, device=device, dtype=dtype).mul_(
        shape[-1] ** -0.5
    )


def shape_to_stretch_to(shape: str | LlamaConfig) -> LlamaConfig:
    """A config, or the shape of that name. Raises ModelError for an unknown one."""
    if isinstance(shape, LlamaConfig):
        return shape
    known = {**SHAPES, **STRETCHES}
    if shape not in known:
        raise ModelError(
            f"no shape called {shape!r} to stretch to: choose one of {', '.join(STRETCHES)}"
        )
    return known[shape]
