"""A model's weights as the compiled pass reads them: panels as wide as two vectors, norms folded into what follows."""

from __future__ import annotations

import ctypes

import torch
from torch import Tensor

from reference_engine.huge_pages import TensorArena
from reference_engine.llama.rotary import turns
from reference_engine.model import Model
from reference_engine.native import library


class NativeWeights:
    """One model's weights. `of` makes them once for all engines of a model. Keeps every tensor that `net` points to."""

    @staticmethod
    def of(model: Model, compiled: ctypes.CDLL) -> NativeWeights:
        """The packed weights of this very model, which keeps them."""
        return model.kept(NativeWeights, lambda: NativeWeights(model, compiled))

    def __init__(self, model: Model, compiled: ctypes.CDLL) -> None:
        config = model.config
        self.config, self._weights, self._compiled, self._kept = config, model.weights, compiled, list[Tensor]()
        self._arena = TensorArena()
        turned = turns(config.positions, config.head_width, config.rope_theta)
        self._layers = (library.NativeLayer * config.layers)(*(self._layer(index) for index in range(config.layers)))
        self.net = library.Net(
            *(config.layers, config.width, config.heads, config.kv_heads, config.head_width, config.inner),
            *(config.vocab, config.positions, config.norm_eps, config.head_width**-0.5),
            self._keep(self._weight("model.embed_tokens")),
            self._keep(self._weight("model.norm")),
            self._panels(model.head),
            *(self._keep(part) for part in (turned.real, turned.imag)),
            self._layers,
        )

    def _layer(self, index: int) -> library.NativeLayer:
        def weight(name: str) -> Tensor:
            return self._weight(f"model.layers.{index}.{name}")

        before, after = weight("input_layernorm"), weight("post_attention_layernorm")
        states = torch.cat([weight(f"self_attn.{name}_proj") for name in "qkv"]) * before  # [(Hq + 2·Hkv)·D, d]
        gate_up = torch.cat((weight("mlp.gate_proj"), weight("mlp.up_proj"))) * after  # [2f, d]
        norms = [self._keep(weight(f"self_attn.{name}_norm")) for name in "qk"] if self.config.qk_norm else (None, None)
        return library.NativeLayer(
            self._panels(states),
            self._panels(weight("self_attn.o_proj")),
            self._panels(gate_up, paired=True),
            self._panels(weight("mlp.down_proj")),
            *norms,
        )

    def _weight(self, name: str) -> Tensor:
        return self._weights[f"{name}.weight"].float()

    def _panels(self, weight: Tensor, *, paired: bool = False) -> int:
        self._kept.append(panels(self._compiled, self._arena, weight, paired=paired))
        return self._kept[-1].data_ptr()

    def _keep(self, tensor: Tensor) -> int:
        self._kept.append(tensor.contiguous())
        return self._kept[-1].data_ptr()


def panels(compiled: ctypes.CDLL, arena: TensorArena, weight: Tensor, *, paired: bool = False) -> Tensor:
    """`weight` `[out, in]`, packed into the arena; `paired`: its halves are gates and what they let through."""
    rows, columns, wide = weight.shape[0], weight.shape[1], compiled.panel_columns()
    weight, packed = weight.float().contiguous(), arena.take(-(-rows // wide) * wide * columns)
    compiled.pack(weight.data_ptr(), rows, columns, int(paired), packed.data_ptr())
    return packed
