"""Exercise 7 from the contract: part i of n reads every n-th position, one at a time; weights are powers of two."""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _stride(
    q,
    k,
    v,
    tables,
    lengths,
    sums,
    weights,
    tops,
    scale,
    wide,
    parts,
    G: tl.constexpr,
    GP: tl.constexpr,
    HKV: tl.constexpr,
    BS: tl.constexpr,
    D: tl.constexpr,
    DP: tl.constexpr,
):
    part, kv, row = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    g = tl.arange(0, GP)
    d = tl.arange(0, DP)
    ok = (g[:, None] < G) & (d[None, :] < D)
    heads = (row * HKV + kv) * G + g
    query = tl.load(q + heads[:, None] * D + d[None, :], mask=ok, other=0).to(tl.float32) * (scale * 1.4426950408889634)
    top = tl.full([GP], -float("inf"), tl.float32)
    weight = tl.zeros([GP], tl.float32)
    acc = tl.zeros([GP, DP], tl.float32)
    for position in range(part, tl.load(lengths + row), parts):
        block = tl.load(tables + row * wide + position // BS).to(tl.int64)
        at = ((block * BS + position % BS) * HKV + kv) * D + d
        key = tl.load(k + at, mask=d < D, other=0).to(tl.float32)
        score = tl.sum(query * key[None, :], 1)
        new = tl.maximum(top, score)
        shrink, add = tl.exp2(top - new), tl.exp2(score - new)
        value = tl.load(v + at, mask=d < D, other=0).to(tl.float32)
        acc = acc * shrink[:, None] + add[:, None] * value[None, :]
        weight = weight * shrink + add
        top = new
    cell = heads * parts + part
    tl.store(sums + cell[:, None] * D + d[None, :], acc, mask=ok)
    tl.store(weights + cell, weight, mask=g < G)
    tl.store(tops + cell, top, mask=g < G)


def paged_decode(
    q: Tensor, k: Tensor, v: Tensor, tables: Tensor, lengths: Tensor, scale: float, *, split: int = 1
) -> Tensor:
    batch, heads, d = q.shape
    block_size, kv = k.shape[1], k.shape[2]
    if not batch:
        return q.new_zeros(q.shape)
    sums = torch.zeros(batch, heads, split, d, device=q.device)
    weights = torch.zeros(batch, heads, split, device=q.device)
    tops = torch.full_like(weights, -torch.inf)
    up = triton.next_power_of_2
    _stride[(split, kv, batch)](
        q,
        k,
        v,
        tables,
        lengths,
        sums,
        weights,
        tops,
        scale,
        tables.shape[1],
        split,
        G=heads // kv,
        GP=up(heads // kv),
        HKV=kv,
        BS=block_size,
        D=d,
        DP=up(d),
    )
    share = torch.where(weights > 0, tops - tops.amax(2, keepdim=True), -torch.inf).exp2()
    whole = (weights * share).sum(2, keepdim=True)
    mean = (sums * share[..., None]).sum(2) / torch.where(whole > 0, whole, 1.0)
    return mean.to(q.dtype)
