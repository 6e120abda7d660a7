"""One step of a Llama on a device: everything between the staged numbers and the tokens said. No
host work inside, so a CUDA graph can hold it."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine.gpu.pool import DevicePool
from reference_engine.gpu.shapes import BatchKind, StepShape
from reference_engine.gpu.staging import Fields
from reference_engine.gpu.weights import GpuLayer, packed
from reference_engine.kernels import Ops, Paging
from reference_engine.kernels.prefill import tree_splits
from reference_engine.llama.rotary import angles
from reference_engine.model import Model

SPARE_POSITIONS = 128
"""Nodes of a tree may stand beyond the context's end; they are turned, and rejected."""


@dataclass(frozen=True, slots=True)
class Results:
    """hidden [R, d], logits [R, V], said int64 [R]: the likeliest tokens. They live in the step's
    own buffers."""

    hidden: Tensor
    logits: Tensor
    said: Tensor


class GpuNetwork:
    """The model's weights on the device, and the order in which a step uses them."""

    def __init__(
        self, model: Model, pool: DevicePool, tables: Tensor, ops: Ops, said: Tensor
    ) -> None:
        """`tables` int32 [seats, M] and `said` int64 [R] live on the device; every step writes its
        tokens to `said`."""
        self.config, self._weights = model.config, packed(model)
        self._pool, self._tables, self._ops, self._said = pool, tables, ops, said
        self._turns = _turns(model, model.device)
        self._scale = model.config.head_width**-0.5
        self._exact = _wide_products(model)

    def run(self, fields: Fields[Tensor], shape: StepShape, mask: Tensor | None) -> Results:
        """Run one step of `shape`. The caller is in inference mode."""
        ops, weights, eps = self._ops, self._weights, self.config.norm_eps
        ops.patch(self._tables.view(-1), fields.where, fields.block)
        trees = None if mask is None else fields.trees
        paging = Paging(fields.starts, fields.lengths, fields.seats, self._tables, trees, mask)
        rest = ops.embed(weights.embedding, fields.tokens, self._said)  # [T, d]
        x = ops.add_rms_norm(
            rest, None, weights.layers[0].before, eps
        )  # [T, d], as after every line of the loop
        for index, layer in enumerate(weights.layers):
            if index:
                x = ops.add_rms_norm(x, rest, layer.before, eps)
            x = F.linear(self._attend(index, layer, x, fields, shape, paging), layer.out)
            x = ops.add_rms_norm(x, rest, layer.after, eps)
            x = F.linear(
                ops.silu_mul(F.linear(x, layer.gate_up)), layer.down
            )  # [T, 2f] -> [T, f] -> [T, d]
        if shape.kind is BatchKind.MIXED:
            x, rest = x.index_select(0, fields.wanted), rest.index_select(0, fields.wanted)
        hidden = ops.add_rms_norm(x, rest, weights.norm, eps)  # [R, d]
        logits = self._logits(hidden)  # [R, V]
        return Results(hidden, logits, ops.greedy(logits, out=self._said[: len(hidden)]))

    def _attend(
        self,
        index: int,
        layer: GpuLayer,
        x: Tensor,
        fields: Fields[Tensor],
        shape: StepShape,
        paging: Paging,
    ) -> Tensor:
        """What attention reads for every row: [T, Hq·D]."""
        config, ops = self.config, self._ops
        keys, values = self._pool.layers[index]  # [S, Hkv, D] each
        norms = {"q_norm": layer.q_norm, "k_norm": layer.k_norm, "eps": config.norm_eps}
        qkv = F.linear(x, layer.qkv)  # [T, (Hq + 2·Hkv)·D]
        ops.rope_store(qkv, fields.positions, fields.slots, *self._turns, keys, values, **norms)
        query = qkv.view(len(qkv), -1, config.head_width)[:, : config.heads]  # [T, Hq, D]
        options = {"block_size": self._pool.block_size, "scale": self._scale}
        make = torch.zeros if shape.kind is BatchKind.MIXED else torch.empty
        out = make(query.shape, device=query.device, dtype=query.dtype)
        if shape.kind is not BatchKind.TREE:
            ops.decode_attention(query, keys, values, paging, out=out, **options)
        if shape.kind is not BatchKind.DECODE:
            splits = (
                tree_splits(query, keys, paging, self._pool.block_size)
                if shape.kind is BatchKind.TREE
                else 1
            )
            ops.prefill_attention(query, keys, values, paging, out=out, splits=splits, **options)
        return out.view(len(out), -1)

    def _logits(self, hidden: Tensor) -> Tensor:
        """[R, V]: fp32 out of bf16 where torch can, since bf16 logits tie often."""
        if self._exact:
            product: Tensor = torch.mm(hidden, self._weights.head.T, out_dtype=torch.float32)
            return product
        return F.linear(hidden, self._weights.head)


def _turns(model: Model, device: torch.device) -> tuple[Tensor, Tensor]:
    """cos, sin fp32 [positions, D / 2]."""
    config = model.config
    turned = angles(config.positions + SPARE_POSITIONS, config.head_width, config.rope_theta)
    return turned.cos().to(device), turned.sin().to(device)


def _wide_products(model: Model) -> bool:
    """Whether a bf16 product can be given out in fp32 on the model's device."""
    if model.device.type != "cuda" or model.dtype == torch.float32:
        return False
    tiny = torch.zeros(16, 16, device=model.device, dtype=model.dtype)
    try:
        torch.mm(tiny, tiny, out_dtype=torch.float32)
    except (TypeError, RuntimeError, NotImplementedError):
        return False
    return True
