"""Paged decode attention: one query row a sequence against its paged KV (flash decoding, GQA heads
packed).

    out[t, h] = softmax(scale · q[t, h] · K[slots of b, h // G]) · V[slots of b, h // G],   t = starts[b], G = Hq / Hkv

Shapes: q, out [T, Hq, D]; keys, values [S, Hkv, D]; tables int32 [seats, M]; seats, lengths int32
[B]; starts int32 [B + 1]. Only sequences that own exactly one row are computed; one with length 0
(a padding row) gets zeros. What owns more rows is left to `prefill_attention`, so that one step's
metadata serves both kernels, in a captured graph too.

One program serves the G query heads of one KV head for one split of one sequence, so each key and
value is read once for the whole group; G is padded to the 16 rows of a tensor-core tile. Splits
keep the device full when B·Hkv is small. Slots at or beyond the sequence's length are never read:
whatever lies in them, NaN included, cannot matter. Bytes moved: Σ_b lengths[b]·2·Hkv·D elements of
KV (q, out and the tables are a few percent of it), plus the partial results when there are splits.
Floor: those bytes over bandwidth; the arithmetic, 4·G operations a KV element, is far below the
tensor cores' rate.
"""

from __future__ import annotations

import torch
from torch import Tensor

from reference_engine.kernels import runtime
from reference_engine.kernels.combine import Partial, combine
from reference_engine.kernels.paging import (
    LOG2_E,
    AttentionShape,
    Paging,
    attend_by_sequence,
    checked,
)
from reference_engine.kernels.runtime import (
    Config,
    Pointer,
    Scalar,
    constexpr,
    jit,
    on,
    power_of_two,
    tl,
)
from reference_engine.kernels.split import choose_splits, span_of


@jit
def _decode_attention(
    q: Pointer,
    keys: Pointer,
    values: Pointer,
    tables: Pointer,
    lengths: Pointer,
    seats: Pointer,
    starts: Pointer,
    out: Pointer,
    partial: Pointer,
    stats: Pointer,
    scale: Scalar,
    q_stride: Scalar,
    slot_stride: Scalar,
    table_stride: Scalar,
    rows: Scalar,
    splits: Scalar,
    HQ: constexpr,
    GROUP: constexpr,
    D: constexpr,
    BLOCK_SIZE: constexpr,
    BLOCK_H: constexpr,
    BLOCK_D: constexpr,
    TILE: constexpr,
    SPLIT: constexpr,
    CAST: constexpr,
) -> None:
    sequence, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    row = tl.load(starts + sequence)
    if tl.load(starts + sequence + 1) - row != 1:
        return
    length = tl.load(lengths + sequence)
    span = span_of(length, splits, TILE)
    first = split * span
    last = tl.minimum(first + span, length)
    if SPLIT and first >= length:
        return

    member = tl.arange(0, BLOCK_H)  # [BLOCK_H]
    column = tl.arange(0, BLOCK_D)  # [BLOCK_D]
    head = kv_head * GROUP + member  # [BLOCK_H]: the group's query heads
    heads_in, columns_in = member < GROUP, column < D
    both_in = heads_in[:, None] & columns_in[None, :]  # [BLOCK_H, BLOCK_D]
    at = row.to(tl.int64) * q_stride + head * D  # [BLOCK_H], of [T, Hq, D]
    # [BLOCK_H, BLOCK_D]
    query = tl.load(q + at[:, None] + column[None, :], mask=both_in, other=0.0)
    if CAST:
        query = query.to(tl.float32)
    peak = tl.full([BLOCK_H], float("-inf"), tl.float32)  # m: [BLOCK_H]
    total = tl.zeros([BLOCK_H], tl.float32)  # l: [BLOCK_H]
    acc = tl.zeros([BLOCK_H, BLOCK_D], tl.float32)  # a: [BLOCK_H, BLOCK_D]
    table = tables + tl.load(seats + sequence).to(tl.int64) * table_stride

    # one tile of KV against the group's queries, softmax going along (exp2: scores are base 2)
    for start in range(first, last, TILE):
        token = start + tl.arange(0, TILE)  # [TILE]
        owned = token < last
        block = tl.load(table + token // BLOCK_SIZE, mask=owned, other=0).to(tl.int64)  # [TILE]
        slot = (block * BLOCK_SIZE + token % BLOCK_SIZE) * slot_stride + kv_head * D  # [TILE]
        where = slot[:, None] + column[None, :]  # [TILE, BLOCK_D], of [S, Hkv, D]
        readable = owned[:, None] & columns_in[None, :]
        key = tl.load(keys + where, mask=readable, other=0.0)  # [TILE, BLOCK_D]
        value = tl.load(values + where, mask=readable, other=0.0)  # [TILE, BLOCK_D]
        if CAST:
            key, value = key.to(tl.float32), value.to(tl.float32)
        score = tl.dot(query, tl.trans(key), input_precision="ieee") * scale  # [BLOCK_H, TILE]
        score = tl.where(owned[None, :], score, float("-inf"))
        higher = tl.maximum(peak, tl.max(score, axis=1))  # [BLOCK_H]
        weight = tl.exp2(score - higher[:, None])  # [BLOCK_H, TILE]
        shrink = tl.exp2(peak - higher)  # [BLOCK_H]
        total = total * shrink + tl.sum(weight, axis=1)  # [BLOCK_H]
        # [BLOCK_H, BLOCK_D]
        acc = acc * shrink[:, None] + tl.dot(weight.to(value.dtype), value, input_precision="ieee")
        peak = higher

    cell = row.to(tl.int64) * HQ + head  # [BLOCK_H], of [T, Hq]
    if SPLIT:
        cell += split.to(tl.int64) * rows * HQ  # [BLOCK_H], of [S, T, Hq]
        tl.store(partial + cell[:, None] * D + column[None, :], acc, mask=both_in)
        tl.store(stats + cell * 2, peak, mask=heads_in)
        tl.store(stats + cell * 2 + 1, total, mask=heads_in)
    else:
        acc = acc / tl.where(total > 0.0, total, 1.0)[:, None]  # [BLOCK_H, BLOCK_D]
        tl.store(
            out + cell[:, None] * D + column[None, :], acc.to(out.dtype.element_ty), mask=both_in
        )


def decode_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    paging: Paging,
    *,
    block_size: int,
    scale: float,
    out: Tensor | None = None,
    splits: int | None = None,
    config: Config | None = None,
) -> Tensor:
    """Attention of the sequences that own one row of the step.

    q [T, Hq, D] with contiguous heads (a view into the packed projection will do); keys, values [S,
    Hkv, D]; rows of other sequences are left as they were in `out` [T, Hq, D] (new: uninitialised).
    `splits`, `config`: None chooses. Raises ValueError on shapes that do not fit,
    KernelsUnavailable where kernels cannot run.
    """
    shape = checked(q, keys, values, paging)
    runtime.require(q, keys, values, paging.tables, paging.seats, paging.lengths, paging.starts)
    # [T, Hq, D]
    out = (
        torch.empty((shape.rows, shape.heads, shape.width), dtype=q.dtype, device=q.device)
        if out is None
        else out
    )
    if shape.rows == 0 or shape.batch == 0:
        return out
    config = config or _config(q.dtype, shape)
    if splits is None:
        splits = choose_splits(
            shape.batch * shape.kv_heads,
            paging.longest(block_size),
            config.tile,
            runtime.multiprocessors(q.device),
        )
    partial = Partial.empty(out, splits)
    group = shape.heads // shape.kv_heads
    with on(q.device):
        _decode_attention[(shape.batch, shape.kv_heads, splits)](
            q,
            keys,
            values,
            paging.tables,
            paging.lengths,
            paging.seats,
            paging.starts,
            out,
            partial.sums,
            partial.stats,
            scale * LOG2_E,
            q.stride(0),
            keys.stride(0),
            paging.tables.stride(0),
            shape.rows,
            splits,
            HQ=shape.heads,
            GROUP=group,
            D=shape.width,
            BLOCK_SIZE=block_size,
            BLOCK_H=max(config.rows, power_of_two(group)),
            BLOCK_D=max(16, power_of_two(shape.width)),
            TILE=config.tile,
            SPLIT=splits > 1,
            CAST=runtime.INTERPRETED,
            num_warps=config.warps,
            num_stages=config.stages,
        )
    if splits > 1:
        combine(partial, out, paging, tile=config.tile, single=True)
    return out


def decode_attention_torch(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    paging: Paging,
    *,
    block_size: int,
    scale: float,
    out: Tensor | None = None,
) -> Tensor:
    """The plain-torch twin of `decode_attention`: same contract; no splits, no config."""
    checked(q, keys, values, paging)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device) if out is None else out  # [T, Hq, D]
    return attend_by_sequence(q, keys, values, paging, block_size, scale, out, single=True)


def _config(dtype: torch.dtype, shape: AttentionShape) -> Config:
    """16 KB of keys a tile; three stages keep one tile of keys and values in flight behind the
    table's look-up."""
    if runtime.INTERPRETED:
        return runtime.SMALL
    tile = 16384 // (max(power_of_two(shape.width), 16) * dtype.itemsize)
    return Config(rows=16, tile=min(max(tile, 16), 128), warps=4, stages=3)
