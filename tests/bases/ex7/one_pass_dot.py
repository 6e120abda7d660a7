"""Right: tl.dot on padded tiles, exp2, one kernel when there is one part; partial results joined in torch."""

import torch
import triton
import triton.language as tl

LOG2_E = 1.4426950408889634


@triton.jit
def _part(
    q, k, v, tables, lengths, acc_to, peak_to, total_to, scale, T, parts, Hq: tl.constexpr, Hkv: tl.constexpr,
    G: tl.constexpr, P: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BS: tl.constexpr, N: tl.constexpr
):  # fmt: skip
    b, part, kv = tl.program_id(2), tl.program_id(0), tl.program_id(1)
    n = tl.load(lengths + b)
    each = (n + parts - 1) // parts
    stop = tl.minimum(n, (part + 1) * each)
    g, d, i = tl.arange(0, P), tl.arange(0, DP), tl.arange(0, N)
    rows = b * Hq + kv * G + g
    good = (g[:, None] < G) & (d[None, :] < D)
    query = tl.load(q + rows[:, None] * D + d[None, :], mask=good, other=0.0).to(tl.float32)
    peak = tl.full((P,), -1e38, tl.float32)
    total = tl.full((P,), 0.0, tl.float32)
    acc = tl.full((P, DP), 0.0, tl.float32)
    for at in range(part * each, stop, N):
        p = at + i
        own = p < stop
        page = tl.load(tables + b * T + p // BS, mask=own, other=0).to(tl.int64)
        row = ((page * BS + p % BS) * Hkv + kv) * D
        # keys come transposed: [D, N]
        key = tl.load(k + row[None, :] + d[:, None], mask=own[None, :] & (d[:, None] < D), other=0.0).to(tl.float32)
        value = tl.load(v + row[:, None] + d[None, :], mask=own[:, None] & (d[None, :] < D), other=0.0).to(tl.float32)
        score = tl.where(own[None, :], tl.dot(query, key, input_precision="ieee") * scale, -1e38)
        new = tl.maximum(peak, tl.max(score, axis=1))
        w = tl.where(own[None, :], tl.exp2(score - new[:, None]), 0.0)
        old = tl.exp2(peak - new)
        total = total * old + tl.sum(w, axis=1)
        acc = acc * old[:, None] + tl.dot(w, value, input_precision="ieee")
        peak = new
    cell = rows * parts + part
    tl.store(acc_to + cell[:, None] * D + d[None, :], acc, mask=good)
    tl.store(peak_to + cell, peak, mask=g < G)
    tl.store(total_to + cell, total, mask=g < G)


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    b, hq, d = q.shape
    bs, hkv = k.shape[1], k.shape[2]
    acc = torch.zeros(b, hq, split, d)
    peak, total = torch.full((b, hq, split), -1e38), torch.zeros(b, hq, split)
    if b:
        _part[(split, hkv, b)](
            q, k, v, tables, lengths, acc, peak, total, scale * LOG2_E, tables.shape[1], split, Hq=hq, Hkv=hkv,
            G=hq // hkv, P=max(16, triton.next_power_of_2(hq // hkv)), D=d, DP=triton.next_power_of_2(d), BS=bs, N=32
        )  # fmt: skip
    weight = torch.exp2(peak - peak.amax(2, keepdim=True))
    whole = (total * weight).sum(2)
    joined = (acc * weight[..., None]).sum(2) / torch.where(whole > 0, whole, 1.0)[..., None]
    return joined.to(q.dtype)
