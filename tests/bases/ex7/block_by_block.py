"""Right: one block of the table a step, one query head after the other against keys that were loaded once; whole
blocks are read, and what lies beyond the length is put to 0 afterwards. A kernel of its own joins the parts."""

import torch
import triton
import triton.language as tl


@triton.jit
def _blocks(
    q, k, v, tables, lengths, partial, scale, T, SPLIT: tl.constexpr, HQ: tl.constexpr, HKV: tl.constexpr,
    G: tl.constexpr, GP: tl.constexpr, D: tl.constexpr, DP: tl.constexpr, BS: tl.constexpr, BP: tl.constexpr
):  # fmt: skip
    at = tl.program_id(0)
    part = at % SPLIT
    kv = at // SPLIT % HKV
    b = at // SPLIT // HKV
    length = tl.load(lengths + b)
    pages = (length + BS - 1) // BS
    lines, slots, heads = tl.arange(0, DP), tl.arange(0, BP), tl.arange(0, GP)
    real = heads < G
    q_at = (b * HQ + kv * G + heads)[:, None] * D + lines[None, :]
    query = tl.load(q + q_at, mask=real[:, None] & (lines < D)[None, :], other=0.0).to(tl.float32)
    m = tl.full((GP,), float("-inf"), tl.float32)
    s = tl.full((GP,), 0.0, tl.float32)
    o = tl.full((GP, DP), 0.0, tl.float32)
    for page in range(part, pages, SPLIT):
        block = tl.load(tables + b * T + page).to(tl.int64)
        inside = (slots < BS)[:, None] & (lines < D)[None, :]
        where = ((block * BS + slots) * HKV + kv)[:, None] * D + lines[None, :]
        own = (slots < BS) & (page * BS + slots < length)
        key = tl.load(k + where, mask=inside, other=0.0).to(tl.float32)
        value = tl.load(v + where, mask=inside, other=0.0).to(tl.float32)
        value = tl.where(own[:, None], value, 0.0)
        score = tl.sum(query[:, None, :] * key[None, :, :], axis=2) * scale
        score = tl.where(own[None, :], score, float("-inf"))
        top = tl.maximum(m, tl.max(score, axis=1))
        e = tl.exp(score - top[:, None])
        f = tl.exp(m - top)
        s = s * f + tl.sum(e, axis=1)
        o = o * f[:, None] + tl.sum(e[:, :, None] * value[None, :, :], axis=1)
        m = top
    # [parts, B, HQ, D + 2]: acc, peak, total
    cell = partial + ((part * tl.num_programs(0) // SPLIT // HKV + b) * HQ + kv * G + heads) * (D + 2)
    tl.store(cell[:, None] + lines[None, :], o, mask=real[:, None] & (lines < D)[None, :])
    tl.store(cell + D, m, mask=real)
    tl.store(cell + D + 1, s, mask=real)


@triton.jit
def _join(partial, out, rows, SPLIT: tl.constexpr, D: tl.constexpr, DP: tl.constexpr):
    row = tl.program_id(0)
    lines = tl.arange(0, DP)
    m = tl.full((1,), float("-inf"), tl.float32)
    s = tl.full((1,), 0.0, tl.float32)
    o = tl.full((DP,), 0.0, tl.float32)
    for part in range(SPLIT):
        cell = partial + (part * rows + row) * (D + 2)
        m1, s1 = tl.load(cell + D), tl.load(cell + D + 1)
        if s1 > 0.0:
            top = tl.maximum(m, m1)
            o = o * tl.exp(m - top) + tl.load(cell + lines, mask=lines < D, other=0.0) * tl.exp(m1 - top)
            s = s * tl.exp(m - top) + s1 * tl.exp(m1 - top)
            m = top
    o = o / tl.where(s > 0.0, s, 1.0)
    tl.store(out + row * D + lines, o.to(out.dtype.element_ty), mask=lines < D)


def paged_decode(q, k, v, tables, lengths, scale, *, split=1):
    B, HQ, D = q.shape
    BS, HKV = k.shape[1:3]
    out = torch.zeros_like(q)
    if B == 0:
        return out
    partial = torch.empty(split, B, HQ, D + 2)
    sizes = {"SPLIT": split, "D": D, "DP": triton.next_power_of_2(D)}
    _blocks[(B * HKV * split,)](
        q, k, v, tables, lengths, partial, scale, tables.shape[1], HQ=HQ, HKV=HKV, G=HQ // HKV,
        GP=triton.next_power_of_2(HQ // HKV), BS=BS, BP=triton.next_power_of_2(BS), **sizes
    )  # fmt: skip
    _join[(B * HQ,)](partial, out, B * HQ, **sizes)
    return out
