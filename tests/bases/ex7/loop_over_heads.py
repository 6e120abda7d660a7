"""Right: one program a request and part; it takes the KV heads one by one, keys and values position by position."""

import torch
import triton
import triton.language as tl


@triton.jit
def _request(
    q, k, v, tables, lengths, acc_out, top_out, sum_out, scale, T, split, HQ: tl.constexpr, HKV: tl.constexpr,
    G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BS: tl.constexpr
):  # fmt: skip
    b = tl.program_id(0)
    part = tl.program_id(1)
    n = tl.load(lengths + b)
    first, last = n * part // split, n * (part + 1) // split
    d, g = tl.arange(0, DP), tl.arange(0, GP)
    for kv in range(HKV):
        head = (b * HQ + kv * G + g)[:, None]
        both = (g < G)[:, None] & (d < D)[None, :]
        query = tl.load(q + head * D + d[None, :], mask=both, other=0.0).to(tl.float32)
        top = tl.full((GP, 1), float("-inf"), tl.float32)
        total = tl.full((GP, 1), 0.0, tl.float32)
        acc = tl.full((GP, DP), 0.0, tl.float32)
        for p in range(first, last):
            block = tl.load(tables + b * T + p // BS).to(tl.int64)
            at = ((block * BS + p % BS) * HKV + kv) * D + d
            key = tl.load(k + at, mask=d < D, other=0.0).to(tl.float32)
            value = tl.load(v + at, mask=d < D, other=0.0).to(tl.float32)
            score = tl.sum(query * key[None, :], 1, keep_dims=True) * scale
            higher = tl.maximum(top, score)
            weight, shrink = tl.exp(score - higher), tl.exp(top - higher)
            total = total * shrink + weight
            acc = acc * shrink + weight * value[None, :]
            top = higher
        cell = head * split + part
        tl.store(acc_out + cell * D + d[None, :], acc, mask=both)
        tl.store(top_out + cell, top, mask=(g < G)[:, None])
        tl.store(sum_out + cell, total, mask=(g < G)[:, None])


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    b, hq, d = q.shape
    hkv = k.shape[2]
    if b == 0:
        return q.clone()
    acc, top, total = torch.empty(b, hq, split, d), torch.empty(b, hq, split), torch.empty(b, hq, split)
    _request[(b, split)](
        q, k, v, tables, lengths, acc, top, total, scale, tables.shape[1], split, HQ=hq, HKV=hkv, G=hq // hkv,
        GP=triton.next_power_of_2(hq // hkv), D=d, DP=triton.next_power_of_2(d), BS=k.shape[1]
    )  # fmt: skip
    log_sum = top + total.log()  # -inf for an empty part
    share = torch.softmax(log_sum, 2).nan_to_num(0.0)
    mean = acc / torch.where(total > 0, total, 1.0)[..., None]
    return (share[..., None] * mean).sum(2).to(q.dtype)
