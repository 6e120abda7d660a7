"""Paged attention of many rows a sequence: prefill chunks, causal, and the nodes of a tree of
guesses (Medusa).

    out[t, h] = softmax over the KV that row t sees of scale · q[t, h] · K, times V

Row i of sequence b, the token at position p = lengths[b] − rows + i, sees KV 0 .. p. If the last N
= trees[b] rows are a tree, its node j sees all KV before the tree and the nodes that mask[j] allows
(itself and its ancestors).

Shapes: q, out [T, Hq, D]; keys, values [S, Hkv, D]; tables int32 [seats, M]; seats, lengths, trees
int32 [B]; starts int32 [B + 1]; mask bool [N, N]. Only sequences that own two rows or more are
computed; `decode_attention` serves the others.

One program serves `TILE_Q` rows and the G = Hq / Hkv heads that share one KV head, packed into one
tile of TILE_Q·G rows. The grid is T // TILE_Q + B tiles whatever the batch holds, so a captured
graph serves any; each program finds its sequence by bisection. A step of few rows and long KV (a
tree at small B) is split over the KV like a decode. Slots at or beyond a sequence's length are
never read. Bytes moved: Σ_b ceil(rows[b] / TILE_Q)·visible[b]·2·Hkv·D elements of KV, of which all
but the first reading come from L2, and 2·T·Hq·D of q and out. Operations: 4·Hq·D for each (row,
visible token). Floor: the larger of bytes over bandwidth and operations over the tensor cores'
peak.
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
from reference_engine.kernels.split import choose_splits, sequence_of, span_of


# 31 parameters, because a Triton kernel takes pointers, strides and sizes one by one and no record
# of them.
@jit
def _prefill_attention(
    q: Pointer,
    keys: Pointer,
    values: Pointer,
    tables: Pointer,
    lengths: Pointer,
    seats: Pointer,
    starts: Pointer,
    trees: Pointer,
    mask: Pointer,
    out: Pointer,
    partial: Pointer,
    stats: Pointer,
    scale: Scalar,
    batch: Scalar,
    q_stride: Scalar,
    slot_stride: Scalar,
    table_stride: Scalar,
    mask_stride: Scalar,
    rows: Scalar,
    splits: Scalar,
    HQ: constexpr,
    GROUP: constexpr,
    D: constexpr,
    BLOCK_SIZE: constexpr,
    TILE_Q: constexpr,
    BLOCK_M: constexpr,
    BLOCK_D: constexpr,
    TILE: constexpr,
    TREE: constexpr,
    SPLIT: constexpr,
    CAST: constexpr,
) -> None:
    unit, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    sequence = sequence_of(starts, batch, unit, TILE_Q, 1)
    begin = tl.load(starts + sequence)
    owned_rows = tl.load(starts + sequence + 1) - begin
    first_row = (unit - (begin // TILE_Q + sequence)) * TILE_Q
    if owned_rows < 2:
        return
    if first_row >= owned_rows:
        return
    length = tl.load(lengths + sequence)
    span = span_of(length, splits, TILE)
    first = split * span
    if SPLIT and first >= length:
        return
    nodes = 0
    if TREE:
        nodes = tl.load(trees + sequence)
    prefix = length - nodes

    packed = tl.arange(0, BLOCK_M)  # [BLOCK_M]
    column = tl.arange(0, BLOCK_D)  # [BLOCK_D]
    row = first_row + packed // GROUP  # [BLOCK_M]: of the sequence
    head = kv_head * GROUP + packed % GROUP  # [BLOCK_M]: query head
    rows_in = (packed < TILE_Q * GROUP) & (row < owned_rows)
    columns_in = column < D
    both_in = rows_in[:, None] & columns_in[None, :]  # [BLOCK_M, BLOCK_D]
    at = (begin + row).to(tl.int64) * q_stride + head * D  # [BLOCK_M], of [T, Hq, D]
    # [BLOCK_M, BLOCK_D]
    query = tl.load(q + at[:, None] + column[None, :], mask=both_in, other=0.0)
    if CAST:
        query = query.to(tl.float32)
    position = length - owned_rows + row  # [BLOCK_M]
    reach = tl.minimum(length - owned_rows + first_row + TILE_Q, length)
    if TREE:
        reach = tl.where(reach > prefix, length, reach)
    last = tl.minimum(first + span, reach)
    peak = tl.full([BLOCK_M], float("-inf"), tl.float32)  # m: [BLOCK_M]
    total = tl.zeros([BLOCK_M], tl.float32)  # l: [BLOCK_M]
    acc = tl.zeros([BLOCK_M, BLOCK_D], tl.float32)  # a: [BLOCK_M, BLOCK_D]
    table = tables + tl.load(seats + sequence).to(tl.int64) * table_stride

    # one tile of KV against TILE_Q rows of the group's queries, softmax going along
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
        seen = token[None, :] <= position[:, None]  # [BLOCK_M, TILE]
        if TREE:
            # [BLOCK_M, 1], [1, TILE]
            node, other = (position - prefix)[:, None], (token - prefix)[None, :]
            # [BLOCK_M, TILE]
            in_tree = (node >= 0) & (other >= 0) & owned[None, :] & rows_in[:, None]
            # [BLOCK_M, TILE], of [N, N]
            allowed = tl.load(mask + node * mask_stride + other, mask=in_tree, other=0)
            seen = tl.where(node >= 0, (other < 0) | (in_tree & (allowed != 0)), seen)
        seen = seen & owned[None, :]
        score = tl.dot(query, tl.trans(key), input_precision="ieee") * scale  # [BLOCK_M, TILE]
        score = tl.where(seen, score, float("-inf"))
        higher = tl.maximum(peak, tl.max(score, axis=1))  # [BLOCK_M]
        # [BLOCK_M]; a row that sees nothing yet stays at 0
        anchor = tl.where(higher == float("-inf"), 0.0, higher)
        weight = tl.exp2(score - anchor[:, None])  # [BLOCK_M, TILE]
        shrink = tl.exp2(peak - anchor)  # [BLOCK_M]
        total = total * shrink + tl.sum(weight, axis=1)  # [BLOCK_M]
        # [BLOCK_M, BLOCK_D]
        acc = acc * shrink[:, None] + tl.dot(weight.to(value.dtype), value, input_precision="ieee")
        peak = higher

    cell = (begin + row).to(tl.int64) * HQ + head  # [BLOCK_M], of [T, Hq]
    if SPLIT:
        cell += split.to(tl.int64) * rows * HQ  # [BLOCK_M], of [S, T, Hq]
        tl.store(partial + cell[:, None] * D + column[None, :], acc, mask=both_in)
        tl.store(stats + cell * 2, peak, mask=rows_in)
        tl.store(stats + cell * 2 + 1, total, mask=rows_in)
    else:
        acc = acc / tl.where(total > 0.0, total, 1.0)[:, None]  # [BLOCK_M, BLOCK_D]
        tl.store(
            out + cell[:, None] * D + column[None, :], acc.to(out.dtype.element_ty), mask=both_in
        )


def prefill_attention(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    paging: Paging,
    *,
    block_size: int,
    scale: float,
    out: Tensor | None = None,
    splits: int = 1,
    config: Config | None = None,
) -> Tensor:
    """Attention of the sequences that own two rows of the step or more.

    q [T, Hq, D] with contiguous heads (a view into the packed projection will do); keys, values [S,
    Hkv, D]; rows of other sequences are left as they were in `out` [T, Hq, D] (new: uninitialised).
    `splits` > 1 suits a step of few rows: `tree_splits` chooses. `config`: None chooses. Raises
    ValueError on shapes that do not fit, KernelsUnavailable where kernels cannot run.
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
    config = config or _config(q.dtype, shape, paging)
    group = shape.heads // shape.kv_heads
    tile_q = max(config.rows // group, 1)
    partial = Partial.empty(out, splits)
    trees = paging.lengths if paging.trees is None else paging.trees
    mask = paging.lengths if paging.mask is None else paging.mask.view(torch.uint8)
    with on(q.device):
        _prefill_attention[(shape.rows // tile_q + shape.batch, shape.kv_heads, splits)](
            q,
            keys,
            values,
            paging.tables,
            paging.lengths,
            paging.seats,
            paging.starts,
            trees,
            mask,
            out,
            partial.sums,
            partial.stats,
            scale * LOG2_E,
            shape.batch,
            q.stride(0),
            keys.stride(0),
            paging.tables.stride(0),
            mask.stride(0),
            shape.rows,
            splits,
            HQ=shape.heads,
            GROUP=group,
            D=shape.width,
            BLOCK_SIZE=block_size,
            TILE_Q=tile_q,
            BLOCK_M=max(config.rows, power_of_two(group)),
            BLOCK_D=max(16, power_of_two(shape.width)),
            TILE=config.tile,
            TREE=paging.trees is not None,
            SPLIT=splits > 1,
            CAST=runtime.INTERPRETED,
            num_warps=config.warps,
            num_stages=config.stages,
        )
    if splits > 1:
        combine(partial, out, paging, tile=config.tile, single=False)
    return out


def prefill_attention_torch(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    paging: Paging,
    *,
    block_size: int,
    scale: float,
    out: Tensor | None = None,
    splits: int = 1,
) -> Tensor:
    """The plain-torch twin of `prefill_attention`: same contract; no config, `splits` ignored."""
    checked(q, keys, values, paging)
    out = torch.empty(q.shape, dtype=q.dtype, device=q.device) if out is None else out  # [T, Hq, D]
    return attend_by_sequence(q, keys, values, paging, block_size, scale, out, single=False)


def tree_splits(q: Tensor, keys: Tensor, paging: Paging, block_size: int) -> int:
    """Splits that fill the device for a step whose sequences own few rows each."""
    shape = checked(q, keys, keys, paging)
    config = _config(q.dtype, shape, paging)
    tile_q = max(config.rows * shape.kv_heads // shape.heads, 1)
    programs = (shape.rows // tile_q + shape.batch) * shape.kv_heads
    return choose_splits(
        programs, paging.longest(block_size), config.tile, runtime.multiprocessors(q.device)
    )


def _config(dtype: torch.dtype, shape: AttentionShape, paging: Paging) -> Config:
    """Tiles that spill no registers on sm_90 at widths 64 and 128; fp32, which no tensor core
    serves, takes less."""
    if runtime.INTERPRETED:
        return runtime.SMALL
    if dtype.itemsize > 2:
        return Config(16, 32, 4, 3) if paging.trees is not None else Config(32, 32, 8, 3)
    few = shape.rows <= 16 * shape.batch
    return Config(rows=64 if few else 128, tile=64, warps=8, stages=3)
