"""One decoder layer on a CPU: its weights, and what it does to a row before and after attention.

The norm before a product is folded into its weight, with the factor sqrt(width) that makes an RMS-normed vector of a
unit vector. Products that share their input are one. Query and key dimensions are interleaved for rotation.
"""

import math
from dataclasses import dataclass
from typing import Optional

import torch
from torch import Tensor

from reference_engine.llama.linear import Weight, pack, product
from reference_engine.llama.rotary import interleaved
from reference_engine.llama.scripted import scripted
from reference_engine.model import Model


@dataclass(frozen=True, slots=True)
class Layer:
    """qkv `[queries + 2 * keys, width]`, out, gate_up `[2 * inner, width]`, down; head norms `[2, D]` or None."""

    qkv: Weight
    out: Weight
    gate_up: Weight
    down: Weight
    head_norms: Tensor | None


def pack_layers(model: Model) -> list[Layer]:
    """Every layer of a model, in order."""
    return [_pack(model, index) for index in range(model.config.layers)]


def unit(x: Tensor, floor: Tensor) -> Tensor:
    """x `[M, width]`, each row over its length; `floor`: sqrt(eps * width), which keeps that from 0."""
    length = torch.ops.aten.linalg_vector_norm(x, 2, [-1], True)
    return x / torch.hypot(length, floor)


def _before_attention(
    x: Tensor,
    floor: Tensor,
    qkv: Weight,
    head_norms: Optional[Tensor],  # noqa: UP045  (TorchScript)
    eps: float,
    turn: Tensor,
    slots: Tensor,
    pool: Tensor,
    heads: int,
    kv_heads: int,
) -> tuple[Tensor, Tensor]:
    """Stores the rows' KV in `pool` `[S, 2 * keys]`; their turned queries `[M, heads, D]`, their KV `[M, 2 * keys]`.

    x `[M, width]`; turn complex `[M, 1, D / 2]`; slots int64 `[M]`.
    """
    rows, keys = x.size(0), pool.size(1) // 2
    states = product(unit(x, floor), qkv)
    query, kv = states[:, : -2 * keys].reshape(rows, heads, -1, 2), states[:, -2 * keys :]
    key = kv[:, :keys].view(rows, kv_heads, -1, 2)
    if head_norms is not None:
        norms = head_norms.view(2, -1, 2)
        query = query * torch.rsqrt(query.square().mean([2, 3], True) + eps) * norms[0]
        key.copy_(key * torch.rsqrt(key.square().mean([2, 3], True) + eps) * norms[1])
    torch.view_as_complex(key).mul_(turn)
    pool.index_copy_(0, slots, kv)
    return torch.view_as_real(torch.view_as_complex(query) * turn).flatten(2), kv


def _after_attention(
    x: Tensor, mixed: Tensor, out: Weight, gate_up: Weight, down: Weight, floor: Tensor, inner: int
) -> None:
    """x `[M, width]` takes in what attention read, `mixed` `[M, queries]`, and goes through the feed-forward part."""
    x.add_(product(mixed, out))
    states = product(unit(x, floor), gate_up)
    x.add_(product(torch.nn.functional.silu(states[:, :inner]).mul_(states[:, inner:]), down))


before_attention = scripted(_before_attention)
after_attention = scripted(_after_attention)


def _pack(model: Model, index: int) -> Layer:
    config = model.config

    def weight(name: str) -> Tensor:
        return model.weights[f"model.layers.{index}.{name}.weight"].float()

    before, after = (weight(name) * math.sqrt(config.width) for name in ("input_layernorm", "post_attention_layernorm"))
    query, key = (interleaved(weight(f"self_attn.{name}_proj"), config.head_width) for name in "qk")
    norms = None
    if config.qk_norm:
        norms = torch.stack([interleaved(weight(f"self_attn.{name}_norm"), config.head_width) for name in "qk"])
    return Layer(
        qkv=pack(torch.cat((query, key, weight("self_attn.v_proj"))) * before),
        out=pack(weight("self_attn.o_proj")),
        gate_up=pack(torch.cat((weight("mlp.gate_proj"), weight("mlp.up_proj"))) * after),
        down=pack(weight("mlp.down_proj")),
        head_norms=norms,
    )
