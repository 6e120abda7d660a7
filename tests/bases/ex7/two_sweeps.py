"""Right: scores are kept. A first kernel writes all scores of a request, torch makes weights of them, a second kernel
adds the values up; parts are shares of the positions, added in torch."""

import torch
import triton
import triton.language as tl


@triton.jit
def _slots(tables, b, T, p, own, BS: tl.constexpr):
    return tl.load(tables + b * T + p // BS, mask=own, other=0).to(tl.int64) * BS + p % BS


@triton.jit
def _score(
    q, k, tables, lengths, scores, scale, T, longest, SPLIT: tl.constexpr, HQ: tl.constexpr, HKV: tl.constexpr,
    G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BS: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    b, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    g, d = tl.arange(0, GP), tl.arange(0, DP)
    head = b * HQ + kv * G + g
    query = tl.load(q + head[:, None] * D + d[None, :], mask=(g < G)[:, None] & (d < D)[None, :], other=0.0)
    n = tl.load(lengths + b)
    for start in range(part * TILE, n, TILE * SPLIT):
        p = start + tl.arange(0, TILE)
        own = p < n
        at = (_slots(tables, b, T, p, own, BS) * HKV + kv)[:, None] * D + d[None, :]
        key = tl.load(k + at, mask=own[:, None] & (d < D)[None, :], other=0.0).to(tl.float32)
        score = tl.sum(query.to(tl.float32)[:, None, :] * key[None, :, :], 2) * scale
        tl.store(scores + head[:, None] * longest + p[None, :], score, mask=(g < G)[:, None] & own[None, :])


@triton.jit
def _gather(
    weights, v, tables, lengths, parts, T, longest, SPLIT: tl.constexpr, HQ: tl.constexpr, HKV: tl.constexpr,
    G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BS: tl.constexpr, TILE: tl.constexpr
):  # fmt: skip
    b, kv, part = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    g, d = tl.arange(0, GP), tl.arange(0, DP)
    head = b * HQ + kv * G + g
    n = tl.load(lengths + b)
    acc = tl.full((GP, DP), 0.0, tl.float32)
    for start in range(part * TILE, n, TILE * SPLIT):
        p = start + tl.arange(0, TILE)
        own = p < n
        at = (_slots(tables, b, T, p, own, BS) * HKV + kv)[:, None] * D + d[None, :]
        value = tl.load(v + at, mask=own[:, None] & (d < D)[None, :], other=0.0).to(tl.float32)
        seen = (g < G)[:, None] & own[None, :]
        weight = tl.load(weights + head[:, None] * longest + p[None, :], mask=seen, other=0.0)
        acc += tl.sum(weight[:, :, None] * value[None, :, :], 1)
    cell = (part * tl.num_programs(0) * HQ + head)[:, None] * D + d[None, :]
    tl.store(parts + cell, acc, mask=(g < G)[:, None] & (d < D)[None, :])


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    batch, heads, width = q.shape
    if not batch or not int(lengths.max()):
        return torch.zeros_like(q)
    size, kv_heads = k.shape[1], k.shape[2]
    longest = int(lengths.max())
    group = heads // kv_heads
    shape = {"SPLIT": split, "HQ": heads, "HKV": kv_heads, "G": group, "GP": triton.next_power_of_2(group), "D": width}
    shape |= {"DP": triton.next_power_of_2(width), "BS": size, "TILE": 8}
    scores = torch.full((batch, heads, longest), float("-inf"))
    grid = (batch, kv_heads, split)
    _score[grid](q, k, tables, lengths, scores, scale, tables.shape[1], longest, **shape)
    weights = scores.softmax(-1).nan_to_num(0.0)
    parts = torch.empty(split, batch, heads, width)
    _gather[grid](weights, v, tables, lengths, parts, tables.shape[1], longest, **shape)
    return parts.sum(0).to(q.dtype)
