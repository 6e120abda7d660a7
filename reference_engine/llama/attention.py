"""Attention over the paged pool on a CPU.

Rows that stand alone (decodes) read their keys and values where they lie. Scores are a sampled product of two dense
matrices: queries `[rows * heads, D]` times the whole pool `[slots * 2 * kv_heads, D]`, computed only where a request's
block table points, which is the pattern of a sparse matrix. The mix of values is a weighted sum of pool rows, which is
what an embedding bag computes. So nothing is gathered: the bytes moved are the KV itself.

Spans of many rows (prefill chunks, trees) use a dense kernel: a prompt's first chunk on its own keys and values, later
chunks on a gathered copy.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import List  # noqa: UP035  (TorchScript)

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from reference_engine.batch import Batch, Span, Tables
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.kv_pool import KVPool
from reference_engine.llama.scripted import scripted

STRETCH = 1.4
"""A group's longest table is at most this many times its shortest (a block more is always allowed)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows [first, last) of a step. Their scores are [start, end) of the flat scores, `width` for each row and head."""

    first: int
    last: int
    start: int
    end: int
    width: int


class SingleRows:
    """The rows of a step that stand alone: n queries, each over its own request's tokens, shortest first.

    Requests of similar length form a group whose score rows have one width, a multiple of the block size, so that
    softmax is dense; padding points at the request's own first slot and is masked. From one decode step to the next
    only one score a row changes, until somebody outgrows a group: then the pattern is made anew.
    """

    def __init__(self, config: LlamaConfig, pool: KVPool, tables: Tables) -> None:
        self._tables, self._block_size, self._pool_rows = tables, pool.block_size, pool.heads[0].shape[0]
        self._heads, self._stride, self._values_at = config.heads, 2 * config.kv_heads, config.kv_heads
        self._head = np.arange(config.heads, dtype=np.int32) // (config.heads // config.kv_heads)
        self._scale = config.head_width**-0.5
        self._seats: list[int] = []
        self._lengths: list[int] = []
        self._version = -1
        self._groups: list[Group] = []

    @property
    def count(self) -> int:
        """Rows of this step that stand alone."""
        return len(self._seats)

    def arrange(self, spans: Sequence[Span]) -> None:
        """Prepare for a step in which each of `spans` has one row."""
        seats, lengths = [span.seat for span in spans], [span.start + 1 for span in spans]
        same = seats == self._seats and self._version == self._tables.version
        if same and lengths == [length + 1 for length in self._lengths] and self._fits(lengths):
            self._advance(seats, lengths)
        else:
            self._rebuild(seats, lengths)
        self._seats, self._lengths, self._version = seats, lengths, self._tables.version

    def attend(self, query: Tensor, heads: Tensor) -> Tensor:
        """query `[n * heads, D]`, the pool's `heads` of one layer -> `[n * heads, D]`."""
        return _attend_alone(
            query, heads, self._values_at, self._scale, self._pattern, self._mask, self._dense, self._offsets
        )

    def _fits(self, lengths: Sequence[int]) -> bool:
        return all(lengths[group.last - 1] <= group.width for group in self._groups) and all(
            max(lengths[group.first : group.last]) <= group.width for group in self._groups
        )

    def _advance(self, seats: Sequence[int], lengths: Sequence[int]) -> None:
        """Open one more score a row."""
        place = np.array(lengths) - 1
        slots = self._tables.array[seats, place // self._block_size] * self._block_size + place % self._block_size
        where = self._first[:, None] + self._head_steps + place[:, None]
        self._columns.numpy()[where] = (slots * self._stride)[:, None] + self._head
        self._mask.numpy()[where] = 0.0

    def _rebuild(self, seats: Sequence[int], lengths: Sequence[int]) -> None:
        size, at = self._block_size, 0
        blocks = [-(-length // size) for length in lengths]
        self._groups = []
        for first, last in _cuts(blocks):
            width = max(blocks[first:last]) * size
            end = at + (last - first) * self._heads * width
            self._groups.append(Group(first, last, at, end, width))
            at = end
        self._columns, self._mask, self._scores = torch.empty(at, dtype=torch.int32), torch.empty(at), torch.empty(at)
        for group in self._groups:
            self._fill(group, seats[group.first : group.last], lengths[group.first : group.last])
        starts = [np.arange(group.start, group.end, group.width, dtype=np.int32) for group in self._groups]
        crow = torch.from_numpy(np.concatenate([*starts, np.array([at], dtype=np.int32)]))
        self._offsets = crow[:-1]
        self._first = crow[:-1].numpy()[:: self._heads]
        widths = np.array([group.width for group in self._groups for _ in range(group.first, group.last)])
        self._head_steps = widths[:, None] * np.arange(self._heads)
        self._pattern = _sparse(crow, self._columns, self._scores, (len(seats) * self._heads, self._pool_rows))
        self._dense = [self._scores[group.start : group.end].view(-1, group.width) for group in self._groups]

    def _fill(self, group: Group, seats: Sequence[int], lengths: Sequence[int]) -> None:
        """Columns and mask of one group."""
        table = self._tables.array[seats, : group.width // self._block_size]
        places = np.arange(self._block_size, dtype=np.int32)
        slots = (table[:, :, None] * self._block_size + places).reshape(len(table), 1, group.width)
        beyond = np.arange(group.width) >= np.array(lengths)[:, None, None]
        shape = (len(table), self._heads, group.width)
        columns = self._columns.numpy()[group.start : group.end].reshape(shape)
        np.add(np.where(beyond, slots[:, :, :1], slots) * self._stride, self._head[:, None], out=columns)
        self._mask.numpy()[group.start : group.end].reshape(shape)[:] = np.where(beyond, -np.inf, 0.0)


class SpanRows:
    """The rows [start, end) of a step that belong to one request, over all of its tokens; the last `wanted` of them
    are all that the last layer needs."""

    def __init__(self, block_size: int, tables: Tables, batch: Batch, span: Span, start: int) -> None:
        self.start, self.end, self.wanted = start, start + len(span.tokens), span.wanted
        self._fresh = span.start == 0 and not span.tree
        self._slots: Tensor | None = None
        self._mask: Tensor | None = None
        if not self._fresh:
            places = np.arange(span.start + len(span.tokens))
            slots = tables.array[span.seat, places // block_size] * block_size + places % block_size
            self._slots = torch.from_numpy(slots)
            self._mask = visible(span, batch.mask)

    def attend(self, query: Tensor, own: Tensor, pool: Tensor) -> Tensor:
        """query `[T, heads, D]`, own KV `[T, 2, kv_heads, D]`, `pool` `[slots, 2, kv_heads, D]` -> `[T, heads, D]`."""
        return self._dense(query, self._kv(own, pool), self._mask, causal=self._fresh)

    def attend_last(self, query: Tensor, own: Tensor, pool: Tensor) -> Tensor:
        """The same for the wanted rows alone: query `[wanted, heads, D]` -> `[wanted, heads, D]`."""
        mask = None if self.wanted == 1 and self._mask is None else self._last_mask(len(own))
        return self._dense(query, self._kv(own, pool), mask, causal=False)

    def _last_mask(self, rows: int) -> Tensor:
        mask = self._mask if self._mask is not None else torch.ones(rows, rows, dtype=torch.bool).tril()
        return mask[-self.wanted :]

    def _kv(self, own: Tensor, pool: Tensor) -> Tensor:
        return own if self._slots is None else pool.index_select(0, self._slots)

    def _dense(self, query: Tensor, kv: Tensor, mask: Tensor | None, *, causal: bool) -> Tensor:
        mixed = F.scaled_dot_product_attention(
            query.transpose(0, 1).unsqueeze(0),
            kv[:, 0].transpose(0, 1).unsqueeze(0),
            kv[:, 1].transpose(0, 1).unsqueeze(0),
            attn_mask=mask,
            is_causal=causal,
            enable_gqa=query.shape[1] != kv.shape[2],
        )
        return mixed[0].transpose(0, 1)


def _attention_alone(
    query: Tensor,
    heads: Tensor,
    values_at: int,
    scale: float,
    pattern: Tensor,
    mask: Tensor,
    groups: List[Tensor],  # noqa: UP006  (TorchScript)
    offsets: Tensor,
) -> Tensor:
    """query `[R, D]` over the rows of `heads` `[P, D]` that the pattern `[R, P]` names; values lie values_at on.

    mask: added to the scores, flat; groups: views of the pattern's values, one score row a line; offsets int32 `[R]`:
    where each row's scores begin.
    """
    scores = pattern.values()
    scores.copy_(mask)
    torch.ops.aten.sparse_sampled_addmm(pattern, query, heads.t(), beta=1.0, alpha=scale, out=pattern)
    for group in groups:
        torch.softmax(group, -1, out=group)
    return torch.embedding_bag(heads[values_at:], pattern.col_indices(), offsets, False, 0, False, scores)[0]


_attend_alone = scripted(_attention_alone)


def visible(span: Span, tree: Tensor | None) -> Tensor:
    """bool `[T, S]`: which of its request's S tokens each of a span's T rows sees."""
    rows, total = len(span.tokens), span.start + len(span.tokens)
    seen = torch.ones(rows, total, dtype=torch.bool).tril(span.start)
    if span.tree and tree is not None:
        seen[rows - span.tree :, total - span.tree :] = tree[: span.tree, : span.tree]
    return seen


def _cuts(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive groups of ascending table lengths: within one, the longest is at most STRETCH times the shortest."""
    cuts, start = list[tuple[int, int]](), 0
    for index, count in enumerate(blocks):
        if count > max(blocks[start] * STRETCH, blocks[start] + 1):
            cuts.append((start, index))
            start = index
    return [*cuts, (start, len(blocks))]


def _sparse(crow: Tensor, columns: Tensor, values: Tensor, size: tuple[int, int]) -> Tensor:
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Sparse CSR")
        return torch.sparse_csr_tensor(crow, columns, values, size, check_invariants=False)
