"""Which rows and which KV belong to each sequence of a step: the metadata that the attention
kernels share.

A step computes T rows (tokens) of B sequences. Sequence b owns rows starts[b] .. starts[b + 1] − 1,
the last tokens of its `lengths[b]` tokens of KV; with table = tables[seats[b]], token n lies in
slot `table[n // block_size] · block_size + n % block_size`. Rows at or beyond starts[B] belong to
nobody (a captured graph is padded with them). A sequence of length 0 that owns a row is padding
too: its attention is zero. The last trees[b] rows of b, if any, are nodes of a tree of guesses:
each sees all KV before the tree, and of the tree's own what `mask` allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

LOG2_E = 1.4426950408889634


@dataclass(frozen=True, slots=True)
class Paging:
    """One step's metadata, on the device of the tensors it describes.

    starts   int32 [B + 1], not decreasing
    lengths  int32 [B], tokens of KV after this step's store, its own rows included
    seats    int32 [B], each sequence's row of the tables
    tables   int32 [seats, M], block tables; entries beyond a sequence's length are never read
    trees    int32 [B], how many of a sequence's last rows are tree nodes (0: none); None: no trees at all
    mask     bool [N, N], mask[i, j]: node i sees node j (`slots.Tree.mask`); None without trees
    """

    starts: Tensor
    lengths: Tensor
    seats: Tensor
    tables: Tensor
    trees: Tensor | None = None
    mask: Tensor | None = None

    def longest(self, block_size: int) -> int:
        """Tokens that a block table can hold."""
        return max(1, self.tables.shape[1] * block_size)


@dataclass(frozen=True, slots=True)
class AttentionShape:
    """The sizes of one attention call: rows T, sequences B, query heads Hq, KV heads Hkv, head
    width D."""

    rows: int
    batch: int
    heads: int
    kv_heads: int
    width: int


def checked(q: Tensor, keys: Tensor, values: Tensor, paging: Paging) -> AttentionShape:
    """The sizes, once everything fits. Raises ValueError otherwise."""
    if keys.dim() != 3 or keys.shape != values.shape or keys.stride() != values.stride():
        raise ValueError(
            f"pools must be two equal [S, Hkv, D], got {tuple(keys.shape)} and {tuple(values.shape)}"
        )
    kv_heads, width = keys.shape[1:]
    if keys.stride()[1:] != (width, 1):
        raise ValueError(
            f"a slot of the pool must be contiguous [Hkv, D], got strides {keys.stride()}"
        )
    if q.dim() != 3 or q.shape[2] != width or q.shape[1] % kv_heads or q.stride()[1:] != (width, 1):
        raise ValueError(
            f"q must be [T, a multiple of {kv_heads}, {width}] with contiguous rows, got {tuple(q.shape)}"
        )
    batch = paging.lengths.shape[0]
    if (
        paging.starts.shape != (batch + 1,)
        or paging.seats.shape != (batch,)
        or paging.tables.dim() != 2
    ):
        raise ValueError(
            f"{batch} lengths want {batch + 1} starts, {batch} seats and tables [seats, M]"
        )
    if (paging.trees is None) != (paging.mask is None):
        raise ValueError("trees and mask come together")
    return AttentionShape(q.shape[0], batch, q.shape[1], kv_heads, width)


def attend_by_sequence(
    q: Tensor,
    keys: Tensor,
    values: Tensor,
    paging: Paging,
    block_size: int,
    scale: float,
    out: Tensor,
    *,
    single: bool,
) -> Tensor:
    """Attention one sequence at a time in plain torch, for sequences with one row (`single`) or
    with more.

    Float64 input is computed in float64, everything else in float32. It reads the metadata on the
    host.
    """
    wide = torch.float64 if q.dtype == torch.float64 else torch.float32
    starts, lengths, seats = paging.starts.tolist(), paging.lengths.tolist(), paging.seats.tolist()
    for index, length in enumerate(lengths):
        rows = slice(starts[index], starts[index + 1])
        count = rows.stop - rows.start
        if count < 1 or (count == 1) != single:
            continue
        if length == 0:
            out[rows] = 0
            continue
        token = torch.arange(length, device=q.device)  # [n]
        # [n]
        slot = (
            paging.tables[seats[index], token // block_size].long() * block_size
            + token % block_size
        )
        group = q.shape[1] // keys.shape[1]
        key = keys[slot].to(wide).repeat_interleave(group, dim=1)  # [n, Hq, D]
        value = values[slot].to(wide).repeat_interleave(group, dim=1)  # [n, Hq, D]
        score = torch.einsum("thd,nhd->htn", q[rows].to(wide), key) * scale  # [Hq, t, n]
        score.masked_fill_(~_visible(paging, index, count, length), float("-inf"))
        # [t, Hq, D]
        out[rows] = torch.einsum("htn,nhd->thd", score.softmax(-1), value).to(out.dtype)
    return out


def _visible(paging: Paging, index: int, count: int, length: int) -> Tensor:
    """bool [count, length]: which KV each row of sequence `index` sees."""
    device = paging.starts.device
    position = torch.arange(length - count, length, device=device)[:, None]  # [t, 1]
    visible = torch.arange(length, device=device)[None, :] <= position  # [t, n]
    if paging.trees is not None and paging.mask is not None:
        nodes = int(paging.trees[index])
        if nodes:
            visible[count - nodes :, : length - nodes] = True
            visible[count - nodes :, length - nodes :] = paging.mask[:nodes, :nodes]
    return visible
