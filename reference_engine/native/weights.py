"""A model's weights as the compiled pass reads them: panels as wide as two vectors.

A matrix that bf16 holds without loss, as those of most checkpoints, is stored so, and one that was
rounded to int8 as that: a step reads a half or a quarter, and computes the same products in fp32. A
norm before a product is folded into a matrix that stays fp32; folded into others it would cost them
their form.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from reference_engine.arithmetic import Arithmetic
from reference_engine.formats import SLICE, Stored, stored_as
from reference_engine.huge_pages import TensorArena
from reference_engine.llama.rotary import turns
from reference_engine.mapped_files import MappedFiles
from reference_engine.memory import trim
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.library import Format, NativePanels


class NativeWeights:
    """One model's weights. `of` makes them once for all engines of a model. Keeps every tensor that
    `net` points to."""

    int8 = Format.INT8
    """How a matrix is laid out that int8 holds."""

    @staticmethod
    def of(
        model: Model, compiled: ctypes.CDLL, arithmetic: Arithmetic = Arithmetic.FP32
    ) -> NativeWeights:
        """The packed weights of this very model, which keeps them."""
        kind = WeightsForBytes if arithmetic is Arithmetic.INT8 else NativeWeights
        return model.kept(kind, lambda: kind(model, compiled))

    def __init__(self, model: Model, compiled: ctypes.CDLL) -> None:
        config = model.config
        self.config = config
        self._weights, self._kept = model.weights, list[Tensor]()
        self._packer = Packer(compiled, self.int8, MappedFiles.now(), model.zeros)
        turned = turns(config.positions, config.head_width, config.rope_theta)
        self._layers = (library.NativeLayer * config.layers)(
            *(self._layer(index) for index in range(config.layers))
        )
        self.net = library.Net(
            *(
                config.layers,
                config.width,
                config.heads,
                config.kv_heads,
                config.head_width,
                config.inner,
            ),
            *(config.vocab, config.positions, config.norm_eps, config.head_width**-0.5),
            *self._embedding(),
            self._packer.pack(model.head),
            self._keep(self._weight("model.norm")),
            *(self._keep(part) for part in (turned.real, turned.imag)),
            self._layers,
            Format.FP32,
        )

    def computed_in(self, arithmetic: Arithmetic) -> library.Net:
        """The net, for products in that arithmetic; of no use longer than these weights are kept."""
        net = library.Net.from_buffer_copy(self.net)
        net.arithmetic = Format[arithmetic.name]
        return net

    def _layer(self, index: int) -> library.NativeLayer:
        named = f"model.layers.{index}"
        qkv, (out, down), gate_up = (
            [self._weights[f"{named}.{name}_proj.weight"] for name in names]
            for names in (
                ("self_attn.q", "self_attn.k", "self_attn.v"),
                ("self_attn.o", "mlp.down"),
                ("mlp.gate", "mlp.up"),
            )
        )
        norms = [self._weight(f"{named}.{name}_layernorm") for name in ("input", "post_attention")]
        folded = [
            norm if self._packer.stored(*parts) is Stored.FP32 else None
            for norm, parts in zip(norms, (qkv, gate_up), strict=True)
        ]
        panels = (
            self._packer.pack(*qkv, norm=folded[0]),  # [(Hq + 2·Hkv)·D, d]
            self._packer.pack(out),
            self._packer.pack(*gate_up, norm=folded[1], paired=True),  # [2f, d]
            self._packer.pack(down),
        )
        apart = (
            None if fold is not None else self._keep(norm)
            for norm, fold in zip(norms, folded, strict=True)
        )
        names = [f"{named}.self_attn.{each}_norm" for each in "qk" if self.config.qk_norm]
        of_heads = [self._keep(self._weight(name)) for name in names]
        trim()
        return library.NativeLayer(*panels, *apart, *(of_heads or (None, None)))

    def _embedding(self) -> tuple[int, Format]:
        """Where it lies as it is, and what its numbers are."""
        rows = self._weights["model.embed_tokens.weight"]
        half = rows.dtype is torch.bfloat16
        return self._keep(rows if half else rows.float()), Format.BF16 if half else Format.FP32

    def _weight(self, name: str) -> Tensor:
        return self._weights[f"{name}.weight"].float()

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()


class WeightsForBytes(NativeWeights):
    """The same for rows of int8."""

    int8 = Format.BYTES


class Packer:
    """Packs weights side by side, each as small as can be without loss, and keeps them.

    int8: see `NativeWeights`. mapped: files of which no more stays in memory than is being read.
    zeros: see `stored_as`.
    """

    def __init__(
        self,
        compiled: ctypes.CDLL,
        int8: Format = Format.INT8,
        mapped: MappedFiles | None = None,
        zeros: Stored = Stored.BF16,
    ) -> None:
        self._compiled, self._int8, self._mapped = compiled, int8, mapped or MappedFiles(())
        self._zeros = zeros
        self._arena, self._kept = TensorArena(), list[Tensor]()

    def stored(self, *parts: Tensor) -> Stored:
        """As what a weight in these parts is stored."""
        return stored_as(*parts, zeros=self._zeros)

    def pack(
        self, *parts: Tensor, norm: Tensor | None = None, paired: bool = False
    ) -> NativePanels:
        """A weight `[out, in]` in parts that lie one below the other. norm `[in]`: what its columns
        are times, which costs it any form but fp32; paired: of two parts one are gates, the other
        what they let through."""
        rows, columns = sum(map(len, parts)), parts[0].shape[1]
        stored = self.stored(*parts) if norm is None else Stored.FP32
        format = self._int8 if stored is Stored.INT8 else Format[stored.name]
        packed = self._arena.take(self._compiled.packed_bytes(rows, columns, format) // 4)
        halves = [[part] for part in parts] if paired else [parts]
        for start in range(0, rows // len(halves), SLICE):
            read = [piece for half in halves for piece in _between(half, start, start + SLICE)]
            numbers = torch.cat([piece.float() for piece in read])
            numbers = numbers if norm is None else numbers.mul_(norm)
            target = packed.data_ptr() + self._compiled.packed_bytes(
                start * len(halves), columns, format
            )
            self._compiled.pack(
                numbers.data_ptr(), len(numbers), columns, int(paired), format, target
            )
            for piece in read:
                self._mapped.let_go(piece)
        self._kept.append(packed)
        return NativePanels(packed.data_ptr(), format)


def _between(parts: Sequence[Tensor], start: int, end: int) -> list[Tensor]:
    """The rows [start, end) of parts that lie one below the other."""
    before = (0, *accumulate(map(len, parts)))
    return [
        part[max(0, start - at) : max(0, end - at)] for part, at in zip(parts, before, strict=False)
    ]
