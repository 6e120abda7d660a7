"""Paged attention, the kernel: one new query a sequence against keys and values that lie scattered
in blocks.

When a model writes, every step asks the same question of every sequence: given the query of its
newest token, which of the tokens so far matter, and what do they say?

    out[b, h] = sum over p < lengths[b] of  weight[p] * v[p]
    weight    = softmax over p of  scale * q[b, h] . k[p]

Keys and values of position p lie in block tables[b, p // block_size], slot p % block_size of it. In
plain torch one would gather them into a row first. That reads everything, writes it, and reads it
again; and reading is all that this step costs. So the kernel looks into the block table itself, and
takes the softmax along while it reads (FlashAttention's online softmax; vLLM's PagedAttention,
SOSP'23).

    block_size 4, tables[b] = [7, 2, ...], lengths[b] = 6

        position   0  1  2  3    4  5  .  .      what lies at positions 6 and 7, and in blocks that
        block      7  7  7  7    2  2  2  2      the sequence does not own, may be another's, or
        slot       0  1  2  3    0  1  2  3      NaN. It must not matter.

Query heads come in groups: with Hq = 8 and Hkv = 2 heads 0..3 read the keys of KV head 0 and heads
4..7 those of KV head 1 (query head h reads KV head h // (Hq // Hkv)). One program serves the whole
group, so that each key is read once for it.

The online softmax. A program goes through the positions tile by tile and keeps three things for
each query head: the largest score so far `peak`, the sum of exp(score - peak) `total`, and the sum
of exp(score - peak) * v `acc`. When a tile brings a larger peak, total and acc are shrunk by
exp(old peak - new peak). In the end out = acc / total.

Splits. A long context is read by several programs at once, each a part of it; each leaves (peak,
total, acc), and those are combined in the same way: shrink to the common peak, add, divide. An
empty part has peak -inf and total 0; take care that exp(-inf - -inf) is not asked for.

Rules of Triton (the lesson has a kernel of five lines to begin with). Sizes in `tl.arange` are
powers of two: what is beyond the real size is masked; what a masked load leaves out is undefined,
NaN in the tests, unless `other` is told. A kernel is given tensors as pointers: everything is
arithmetic with offsets in elements; pools are large, so take offsets of blocks in int64. A kernel
sees no globals: TILE is handed to it as `TILE: tl.constexpr`. Tests run it in Triton's interpreter
on a CPU, so `tl.load` of a wrong address is noticed and named.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 16  # positions a step of the loop; a power of two


def paged_decode(
    q: Tensor, k: Tensor, v: Tensor, tables: Tensor, lengths: Tensor, scale: float, *, split: int = 1
) -> Tensor:
    """Attention of one query row a sequence over its paged context.

    q [B, Hq, D]; k, v [blocks, block_size, Hkv, D], of the dtype of q, all contiguous; tables int32
    [B, T]; lengths int32 [B]. Hq is a multiple of Hkv. D is 32 to 128 and need not be a power of
    two. The blocks of sequence b are tables[b, :ceil(lengths[b] / block_size)]; entries after them
    are arbitrary numbers. split >= 1: so many parts of each context are computed apart, each
    by programs of its own, and combined; there may be more parts than positions. About equal will
    do, such as ceil(lengths[b] / split) positions in all but the last, or as many whole blocks: from
    split = 2 on no program may read more than half of a context, rounded up to whole blocks or tiles.

    Returns [B, Hq, D] of the dtype of q; what is summed is summed in float32. Where lengths[b] is 0
    the row is 0. B may be 0.

    Only what belongs to a sequence is read for it, each key and value once for each group of query
    heads, in kernels: no copy of the context is made.
    """
    ### BEGIN SOLUTION
    batch, heads, width = q.shape
    block_size, kv_heads = k.shape[1:3]
    group = heads // kv_heads
    out = torch.empty_like(q)
    if batch == 0:
        return out
    acc = torch.empty(batch, heads, split, width, dtype=torch.float32, device=q.device)
    stats = torch.empty(2, batch, heads, split, dtype=torch.float32, device=q.device)  # peak, total
    sizes = {
        "HEADS": heads,
        "GROUP": group,
        "BLOCK_GROUP": triton.next_power_of_2(group),
        "D": width,
        "BLOCK_D": triton.next_power_of_2(width),
    }
    _attend[(batch, kv_heads, split)](
        *(q, k, v, tables, lengths, acc, *stats),
        *(scale, tables.shape[1], split),
        KV_HEADS=kv_heads,
        BLOCK_SIZE=block_size,
        TILE=TILE,
        **sizes,
    )
    _combine[(batch, kv_heads)](acc, *stats, out, split, BLOCK_SPLIT=triton.next_power_of_2(split), **sizes)
    return out
    ### END SOLUTION


### BEGIN SOLUTION
@triton.jit
def _attend(
    q,
    k,
    v,
    tables,
    lengths,
    acc_out,
    peak_out,
    total_out,
    scale,
    table_width,
    split,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_GROUP: tl.constexpr,
    KV_HEADS: tl.constexpr,
    BLOCK_SIZE: tl.constexpr,
    TILE: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """One part of one sequence's context, for the query heads of one KV head: acc, peak and total."""
    row, kv_head, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    length = tl.load(lengths + row)
    span = tl.cdiv(length, split)
    first = part * span
    last = tl.minimum(first + span, length)

    member, column = tl.arange(0, BLOCK_GROUP), tl.arange(0, BLOCK_D)
    head = kv_head * GROUP + member
    inside = (member < GROUP)[:, None] & (column < D)[None, :]  # [G, D]
    at = (row * HEADS + head)[:, None] * D + column[None, :]
    query = tl.load(q + at, mask=inside, other=0.0).to(tl.float32) * scale
    peak = tl.full([BLOCK_GROUP], float("-inf"), tl.float32)
    total = tl.zeros([BLOCK_GROUP], tl.float32)
    acc = tl.zeros([BLOCK_GROUP, BLOCK_D], tl.float32)

    for start in range(first, last, TILE):
        position = start + tl.arange(0, TILE)
        own = position < last
        block = tl.load(tables + row * table_width + position // BLOCK_SIZE, mask=own, other=0)
        slot = block.to(tl.int64) * BLOCK_SIZE + position % BLOCK_SIZE
        where = (slot * KV_HEADS + kv_head)[:, None] * D + column[None, :]  # [TILE, D]
        readable = own[:, None] & (column < D)[None, :]
        key = tl.load(k + where, mask=readable, other=0.0).to(tl.float32)
        value = tl.load(v + where, mask=readable, other=0.0).to(tl.float32)
        score = tl.sum(query[:, None, :] * key[None, :, :], 2)  # [G, TILE]
        score = tl.where(own[None, :], score, float("-inf"))
        higher = tl.maximum(peak, tl.max(score, 1))  # [G]; never -inf: the first position of a tile is its own
        weight = tl.exp(score - higher[:, None])
        shrink = tl.exp(peak - higher)
        total = total * shrink + tl.sum(weight, 1)
        acc = acc * shrink[:, None] + tl.sum(weight[:, :, None] * value[None, :, :], 1)
        peak = higher

    cell = (row * HEADS + head) * split + part  # [G], of [B, Hq, split]
    tl.store(acc_out + cell[:, None] * D + column[None, :], acc, mask=inside)
    tl.store(peak_out + cell, peak, mask=member < GROUP)
    tl.store(total_out + cell, total, mask=member < GROUP)


@triton.jit
def _combine(
    acc_in,
    peak_in,
    total_in,
    out,
    split,
    HEADS: tl.constexpr,
    GROUP: tl.constexpr,
    BLOCK_GROUP: tl.constexpr,
    BLOCK_SPLIT: tl.constexpr,
    D: tl.constexpr,
    BLOCK_D: tl.constexpr,
):
    """The parts of one sequence, for the query heads of one KV head, joined."""
    member, part, column = tl.arange(0, BLOCK_GROUP), tl.arange(0, BLOCK_SPLIT), tl.arange(0, BLOCK_D)
    cell = tl.program_id(0) * HEADS + tl.program_id(1) * GROUP + member  # [G], of [B, Hq]
    there = (member < GROUP)[:, None] & (part < split)[None, :]  # [G, S]
    at = cell[:, None] * split + part[None, :]  # of [B, Hq, split]
    peak = tl.load(peak_in + at, mask=there, other=float("-inf"))
    total = tl.load(total_in + at, mask=there, other=0.0)
    inside = there[:, :, None] & (column < D)[None, None, :]
    acc = tl.load(acc_in + at[:, :, None] * D + column[None, None, :], mask=inside, other=0.0)  # [G, S, D]
    highest = tl.max(peak, 1)  # [G]
    shrink = tl.where(peak > float("-inf"), tl.exp(peak - highest[:, None]), 0.0)  # an empty part adds nothing
    whole = tl.sum(total * shrink, 1)
    mean = tl.sum(acc * shrink[:, :, None], 1) / tl.where(whole > 0.0, whole, 1.0)[:, None]  # [G, D]
    where = cell[:, None] * D + column[None, :]
    tl.store(out + where, mean.to(out.dtype.element_ty), mask=(member < GROUP)[:, None] & (column < D)[None, :])


### END SOLUTION
