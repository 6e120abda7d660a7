"""Right: flash decoding in the way of FlashInfer: each part leaves a normalised state and the logarithm of its sum, and
a second kernel merges states two by two.
"""

import torch
import triton
import triton.language as tl

NOTHING = -1e30


@triton.jit
def _state(
    q, k, v, tables, lengths, o, lse, scale, width, splits, Hq: tl.constexpr, Hkv: tl.constexpr, G: tl.constexpr,
    GP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, PAGE: tl.constexpr, N: tl.constexpr, LOW: tl.constexpr
):  # fmt: skip
    b, kv, s = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    n = tl.load(lengths + b)
    chunk = tl.cdiv(n, splits)
    begin, end = s * chunk, tl.minimum((s + 1) * chunk, n)
    g, d = tl.arange(0, GP), tl.arange(0, DP)
    heads = b * Hq + kv * G + g
    here = (g < G)[:, None] & (d < D)[None, :]
    query = tl.load(q + heads[:, None] * D + d[None, :], mask=here, other=0.0).to(tl.float32)
    m = tl.full((GP,), LOW, tl.float32)
    total = tl.zeros((GP,), tl.float32)
    acc = tl.zeros((GP, DP), tl.float32)
    for at in range(begin, end, N):
        position = at + tl.arange(0, N)
        inside = position < end
        page = tl.load(tables + b * width + position // PAGE, mask=inside, other=0).to(tl.int64)
        entry = ((page * PAGE + position % PAGE) * Hkv + kv)[:, None] * D + d[None, :]
        good = inside[:, None] & (d < D)[None, :]
        key = tl.load(k + entry, mask=good, other=0.0).to(tl.float32)
        logits = tl.sum(query[:, None, :] * key[None, :, :], axis=2) * scale
        logits = tl.where(inside[None, :], logits, LOW)
        new = tl.maximum(m, tl.max(logits, axis=1))
        weight = tl.where(inside[None, :], tl.exp(logits - new[:, None]), 0.0)
        fade = tl.exp(m - new)
        value = tl.load(v + entry, mask=good, other=0.0).to(tl.float32)
        acc = acc * fade[:, None] + tl.sum(weight[:, :, None] * value[None, :, :], axis=1)
        total = total * fade + tl.sum(weight, axis=1)
        m = new
    some = total > 0.0
    cell = heads * splits + s
    normal = acc / tl.where(some, total, 1.0)[:, None]
    tl.store(o + cell[:, None] * D + d[None, :], normal, mask=here)
    tl.store(lse + cell, tl.where(some, m + tl.log(tl.where(some, total, 1.0)), LOW), mask=g < G)


@triton.jit
def _merge(o, lse, out, splits, D: tl.constexpr, DP: tl.constexpr, LOW: tl.constexpr):
    head = tl.program_id(0)
    d = tl.arange(0, DP)
    state, norm = tl.zeros((DP,), tl.float32), tl.full((), LOW, tl.float32)
    for s in range(splits):
        cell = head * splits + s
        other = tl.load(o + cell * D + d, mask=d < D, other=0.0)
        its = tl.load(lse + cell)
        top = tl.maximum(norm, its)
        mine = tl.where(norm > LOW, tl.exp(norm - top), 0.0)
        theirs = tl.where(its > LOW, tl.exp(its - top), 0.0)
        both = mine + theirs
        state = tl.where(both > 0.0, (state * mine + other * theirs) / tl.where(both > 0.0, both, 1.0), 0.0)
        norm = tl.where(both > 0.0, top + tl.log(tl.where(both > 0.0, both, 1.0)), LOW)
    tl.store(out + head * D + d, state.to(out.dtype.element_ty), mask=d < D)


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    b, hq, d = q.shape
    out = torch.empty_like(q)
    if not b:
        return out
    page, hkv = k.shape[1:3]
    o = torch.empty(b * hq * split, d, dtype=torch.float32)
    lse = torch.empty(b * hq * split, dtype=torch.float32)
    group, wide = hq // hkv, triton.next_power_of_2(d)
    _state[(b, hkv, split)](
        q, k, v, tables, lengths, o, lse, scale, tables.shape[1], split, Hq=hq, Hkv=hkv, G=group,
        GP=triton.next_power_of_2(group), D=d, DP=wide, PAGE=page, N=16, LOW=NOTHING
    )  # fmt: skip
    _merge[(b * hq,)](o, lse, out, split, D=d, DP=wide, LOW=NOTHING)
    return out
