"""The weights of one decoder layer as the CPU reads them.

The norm before a product is folded into its weight, with the factor sqrt(width) that makes an
RMS-normed vector of a unit vector. Products that share their input are one. Query and key
dimensions are interleaved for rotation.
"""

import math
from typing import NamedTuple, Optional

import torch
from torch import Tensor

from reference_engine.llama.linear import Weight, pack
from reference_engine.llama.rotary import interleaved
from reference_engine.model import Model


class DecoderLayer(NamedTuple):
    """qkv `[queries + 2 * keys, width]`, out, gate_up `[2 * inner, width]`, down.

    head_norms `[heads + kv_heads, D / 2, 2]` or None.
    """

    qkv: Weight
    out: Weight
    gate_up: Weight
    down: Weight
    head_norms: Optional[Tensor]  # noqa: UP045  (TorchScript)


def pack_layers(model: Model) -> list[DecoderLayer]:
    """Every layer of a model, in order."""
    return [_pack(model, index) for index in range(model.config.layers)]


def _pack(model: Model, index: int) -> DecoderLayer:
    config = model.config

    def weight(name: str) -> Tensor:
        return model.weights[f"model.layers.{index}.{name}.weight"].float()

    # [width] each
    before, after = (
        weight(name) * math.sqrt(config.width)
        for name in ("input_layernorm", "post_attention_layernorm")
    )
    # [queries, width], [keys, width]
    query, key = (interleaved(weight(f"self_attn.{name}_proj"), config.head_width) for name in "qk")
    norms = None
    if config.qk_norm:
        # [D] each
        of_query, of_key = (
            interleaved(weight(f"self_attn.{name}_norm"), config.head_width) for name in "qk"
        )
        # [heads + kv_heads, D / 2, 2]
        norms = torch.stack([of_query] * config.heads + [of_key] * config.kv_heads).view(
            -1, config.head_width // 2, 2
        )
    return DecoderLayer(
        # [queries + 2 * keys, width]
        qkv=pack(torch.cat((query, key, weight("self_attn.v_proj"))) * before),
        out=pack(weight("self_attn.o_proj")),  # [width, queries]
        # [2 * inner, width]
        gate_up=pack(torch.cat((weight("mlp.gate_proj"), weight("mlp.up_proj"))) * after),
        down=pack(weight("mlp.down_proj")),  # [width, inner]
        head_norms=norms,
    )
