"""The second half of split-KV attention: one softmax out of the splits' partial ones (flash
decoding).

Split s of row t and head h left its accumulator a[s] = Σ exp2(z − m[s])·v, not yet divided, in
fp32, and the pair m[s] (its maximum, in the base-2 scale) and l[s] = Σ exp2(z − m[s]). Then
    out[t, h] = Σ_s a[s]·exp2(m[s] − M) / Σ_s l[s]·exp2(m[s] − M),   M = max_s m[s].

Shapes: sums fp32 [S, T, Hq, D]; stats fp32 [S, T, Hq, 2] (m, l); out [T, Hq, D]; starts int32 [B +
1]; lengths int32 [B]. Only splits that a sequence's length reaches are read; the others were never
written. Bytes moved: T·Hq·(D + 2)·4 a live split, and T·Hq·D elements of out. Floor: those bytes
over bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from reference_engine.kernels.paging import Paging
from reference_engine.kernels.runtime import Pointer, Scalar, constexpr, jit, on, power_of_two, tl
from reference_engine.kernels.split import sequence_of, span_of


@dataclass(frozen=True, slots=True)
class Partial:
    """The splits' partial results: sums fp32 [S, T, Hq, D], stats fp32 [S, T, Hq, 2]; without
    splits, stand-ins."""

    sums: Tensor
    stats: Tensor

    @classmethod
    def empty(cls, out: Tensor, splits: int) -> Partial:
        """Room for `splits` partial results of `out` [T, Hq, D]."""
        if splits == 1:
            return cls(out, out)
        # [S, T, Hq, D]
        sums = torch.empty((splits, *out.shape), dtype=torch.float32, device=out.device)
        return cls(
            sums, torch.empty((splits, *out.shape[:2], 2), dtype=torch.float32, device=out.device)
        )


@jit
def _combine(
    sums: Pointer,
    stats: Pointer,
    out: Pointer,
    starts: Pointer,
    lengths: Pointer,
    batch: Scalar,
    rows: Scalar,
    splits: Scalar,
    HQ: constexpr,
    D: constexpr,
    BLOCK_D: constexpr,
    BLOCK_S: constexpr,
    TILE: constexpr,
    SINGLE: constexpr,
) -> None:
    row, head = tl.program_id(0), tl.program_id(1)
    sequence = sequence_of(starts, batch, row, 1, 0)
    end = tl.load(starts + sequence + 1)
    owned = end - tl.load(starts + sequence)
    mine = owned == 1 if SINGLE else owned > 1
    if (row < end) & mine:
        length = tl.load(lengths + sequence)
        live = tl.cdiv(length, span_of(length, splits, TILE))
        split = tl.arange(0, BLOCK_S)  # [BLOCK_S]
        column = tl.arange(0, BLOCK_D)  # [BLOCK_D]
        cell = (split.to(tl.int64) * rows + row) * HQ + head  # [BLOCK_S], of [S, T, Hq]
        top = tl.load(stats + cell * 2, mask=split < live, other=float("-inf"))  # m: [BLOCK_S]
        total = tl.load(stats + cell * 2 + 1, mask=split < live, other=0.0)  # l: [BLOCK_S]
        peak = tl.max(top, axis=0)  # M: a number
        weight = tl.exp2(top - tl.where(peak == float("-inf"), 0.0, peak))  # [BLOCK_S]
        kept = (split < live)[:, None] & (column < D)[None, :]  # [BLOCK_S, BLOCK_D]
        # a: [BLOCK_S, BLOCK_D]
        part = tl.load(sums + cell[:, None] * D + column[None, :], mask=kept, other=0.0)
        below = tl.sum(total * weight, axis=0)  # a number
        # [BLOCK_D]
        result = tl.sum(part * weight[:, None], axis=0) / tl.where(below > 0.0, below, 1.0)
        target = out + (row.to(tl.int64) * HQ + head) * D + column  # [BLOCK_D], of [T, Hq, D]
        tl.store(target, result.to(out.dtype.element_ty), mask=column < D)


def combine(partial: Partial, out: Tensor, paging: Paging, *, tile: int, single: bool) -> None:
    """Write `out` [T, Hq, D] for the rows of every sequence that owns one row (`single`), or of
    those that own more.

    A row whose sequence has no KV (a padding row) becomes zeros. `tile` is the tile that the splits
    were made of.
    """
    splits, rows, heads, width = partial.sums.shape
    with on(out.device):
        _combine[(rows, heads)](
            partial.sums,
            partial.stats,
            out,
            paging.starts,
            paging.lengths,
            paging.lengths.shape[0],
            rows,
            splits,
            HQ=heads,
            D=width,
            BLOCK_D=power_of_two(width),
            BLOCK_S=power_of_two(splits),
            TILE=tile,
            SINGLE=single,
            num_warps=4 if splits * width >= 2048 else 1,
        )
