"""A model's weights as the compiled pass reads them: panels as wide as two vectors.

A matrix that bf16 holds without loss, as those of most checkpoints, is stored so, and one that was rounded to int8 as
that: a step reads a half or a quarter, and computes the same products in fp32. A norm before a product is folded into
a matrix that stays fp32; folded into others it would cost them their form.
"""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from reference_engine.arithmetic import Arithmetic
from reference_engine.formats import SLICE, Stored, stored_as
from reference_engine.huge_pages import TensorArena
from reference_engine.llama.rotary import turns
from reference_engine.mapped_files import MappedFiles
from reference_engine.model import Model
from reference_engine.native import library
from reference_engine.native.library import Format, NativePanels


class NativeWeights:
    """One model's weights. `of` makes them once for all engines of a model. Keeps every tensor that `net` points to."""

    int8 = Format.INT8
    """How a matrix is laid out that int8 holds."""

    @staticmethod
    def of(model: Model, compiled: ctypes.CDLL, arithmetic: Arithmetic = Arithmetic.FP32) -> NativeWeights:
        """The packed weights of this very model, which keeps them."""
        kind = WeightsForBytes if arithmetic is Arithmetic.INT8 else NativeWeights
        return model.kept(kind, lambda: kind(model, compiled))

    def __init__(self, model: Model, compiled: ctypes.CDLL) -> None:
        config = model.config
        self.config = config
        self._weights, self._kept, self._packer = model.weights, list[Tensor](), Packer(compiled, self.int8)
        self._mapped = MappedFiles.now()
        turned = turns(config.positions, config.head_width, config.rope_theta)
        self._layers = (library.NativeLayer * config.layers)(*(self._layer(index) for index in range(config.layers)))
        self.net = library.Net(
            *(config.layers, config.width, config.heads, config.kv_heads, config.head_width, config.inner),
            *(config.vocab, config.positions, config.norm_eps, config.head_width**-0.5),
            *self._embedding(),
            self._packer.pack(model.head),
            self._keep(self._weight("model.norm")),
            *(self._keep(part) for part in (turned.real, turned.imag)),
            self._layers,
            Format.FP32,
        )
        self._mapped.let_go(model.head)

    def computed_in(self, arithmetic: Arithmetic) -> library.Net:
        """The net, for products in that arithmetic; of no use longer than these weights are kept."""
        net = library.Net.from_buffer_copy(self.net)
        net.arithmetic = Format[arithmetic.name]
        return net

    def _layer(self, index: int) -> library.NativeLayer:
        def weight(name: str) -> Tensor:
            return self._weight(f"model.layers.{index}.{name}")

        norms = weight("input_layernorm"), weight("post_attention_layernorm")
        states = torch.cat([weight(f"self_attn.{name}_proj") for name in "qkv"])  # [(Hq + 2·Hkv)·D, d]
        gate_up = torch.cat((weight("mlp.gate_proj"), weight("mlp.up_proj")))  # [2f, d]
        inputs = tuple(
            (matrix * norm, None) if stored_as(matrix) is Stored.FP32 else (matrix, norm)
            for matrix, norm in zip((states, gate_up), norms, strict=True)
        )
        of_heads = [weight(f"self_attn.{name}_norm") for name in "qk"] if self.config.qk_norm else [None, None]
        panels = (
            self._packer.pack(inputs[0][0]),
            self._packer.pack(weight("self_attn.o_proj")),
            self._packer.pack(inputs[1][0], paired=True),
            self._packer.pack(weight("mlp.down_proj")),
        )
        for name in (each for each in self._weights if each.startswith(f"model.layers.{index}.")):
            self._mapped.let_go(self._weights[name])
        return library.NativeLayer(
            *panels,
            *(None if norm is None else self._keep(norm) for _, norm in inputs),
            *(None if norm is None else self._keep(norm) for norm in of_heads),
        )

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
    """Packs weights side by side, each as small as can be without loss, and keeps them. int8: see `NativeWeights`."""

    def __init__(self, compiled: ctypes.CDLL, int8: Format = Format.INT8) -> None:
        self._int8 = int8
        self._compiled, self._arena, self._kept = compiled, TensorArena(), list[Tensor]()

    def pack(self, weight: Tensor, *, paired: bool = False) -> NativePanels:
        """`weight` `[out, in]`; `paired`: its halves are gates and what they let through."""
        rows, columns = weight.shape
        stored = stored_as(weight)
        format = self._int8 if stored is Stored.INT8 else Format[stored.name]
        packed = self._arena.take(self._compiled.packed_bytes(rows, columns, format) // 4)
        halves = weight.chunk(2) if paired else (weight,)
        for start in range(0, len(halves[0]), SLICE):
            part = torch.cat([half[start : start + SLICE].float() for half in halves])
            target = packed.data_ptr() + self._compiled.packed_bytes(start * len(halves), columns, format)
            self._compiled.pack(part.data_ptr(), len(part), columns, int(paired), format, target)
        self._kept.append(packed)
        return NativePanels(packed.data_ptr(), format)
