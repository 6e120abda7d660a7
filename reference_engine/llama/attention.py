"""What a step's rows read of the paged pool, laid out for the forward pass on a CPU.

Rows that stand alone (decodes) read their keys and values where they lie. Scores are a sampled
product of two dense matrices: queries `[rows * heads, D]` times the whole pool `[rows, D]`,
computed only where a request's block table points, which is the pattern of a sparse matrix. The mix
of values is a weighted sum of pool rows, which is what an embedding bag computes. So nothing is
gathered: the bytes moved are the KV itself.

Spans of many rows (prefill chunks, trees) use a dense kernel: a prompt's first chunk on its own
keys and values, later chunks on a gathered copy.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reference_engine.batch import Span, StepBatch, Tables
from reference_engine.llama.config import LlamaConfig
from reference_engine.llama.kv_pool import Integers, KVPool
from reference_engine.llama.network import Reading, SingleRowInputs

STRETCH = 1.4
"""A group's longest table is at most this many times its shortest (a block more is always allowed)."""


@dataclass(frozen=True, slots=True)
class Group:
    """Rows [first, last) of a step. Their scores are [start, end) of the flat scores, `width` for
    each row and head."""

    first: int
    last: int
    start: int
    end: int
    width: int


class SingleRows:
    """The rows of a step that stand alone: n queries, each over its own request's tokens, shortest
    first.

    Requests of similar length form a group whose score rows have one width, a multiple of the block
    size, so that softmax is dense; padding points at the request's own first slot and is masked.
    From one decode step to the next only one score a row changes, until somebody outgrows a group:
    then the pattern is made anew.

    positions int64 `[n]`: where each row stands in its text. rows int64 `[n * 2 * kv_heads]`: its
    own pool rows.
    """

    def __init__(self, config: LlamaConfig, pool: KVPool, tables: Tables) -> None:
        self._tables, self._pool, self._block_size = tables, pool, pool.block_size
        self._heads = config.heads
        # [heads]: first row of its KV head
        self._head = (
            np.arange(config.heads, dtype=np.int64)
            // (config.heads // config.kv_heads)
            * pool.block_size
        )
        self._seats: list[int] = []
        self._places: list[int] = []
        self._version = -1
        self._steps_left = self._within = 0

    def arrange(self, spans: Sequence[Span]) -> SingleRowInputs:
        """What a step reads in which each of these spans has one row."""
        seats, places = [span.seat for span in spans], [span.start for span in spans]
        same = (
            self._steps_left > 0 and seats == self._seats and self._version == self._tables.version
        )
        if same and places == [place + 1 for place in self._places]:
            self._advance()
        else:
            self._rebuild(seats, places)
        self._seats, self._places, self._version = seats, places, self._tables.version
        return self._singles

    def _advance(self) -> None:
        """Open one more score a row. While nobody enters another block, all rows are one further
        than before."""
        self._at += 1
        self._open += 1
        self._steps_left -= 1
        if self._within:
            self._first += 1
            self._row_numbers += 1
            self._within -= 1
        else:
            self._locate()
        self._columns[self._open] = self._first + self._head  # [n, heads]
        self._mask[self._open] = 0.0  # [n, heads]

    def _locate(self) -> None:
        """Find the pool rows of the tokens at `_at`, and for how many steps they stay in their
        blocks."""
        block, place = np.divmod(self._at, self._block_size)  # [n] each
        # [n]
        first = self._pool.first_rows(
            self._tables.array[self._seat_numbers, block].astype(np.int64), place
        )
        self.rows = self._pool.token_rows(first)  # [n * 2 * kv_heads]
        # [n * 2 * kv_heads], [n, 1]
        self._row_numbers, self._first = self.rows.numpy(), first[:, None]
        self._within = self._block_size - 1 - int(place.max())

    def _rebuild(self, seats: Sequence[int], places: Sequence[int]) -> None:
        size, at, groups = self._block_size, 0, list[Group]()
        self._at, self._seat_numbers = np.array(places), np.array(seats)  # [n] each
        self.positions = torch.from_numpy(self._at)
        self._locate()
        blocks = [place // size + 1 for place in places]
        for first, last in _cuts(blocks):
            width = max(blocks[first:last]) * size
            end = at + (last - first) * self._heads * width
            groups.append(Group(first, last, at, end, width))
            at = end
        # [scores] each
        columns, mask, scores = torch.empty(at, dtype=torch.int32), torch.empty(at), torch.empty(at)
        self._columns, self._mask = columns.numpy(), mask.numpy()
        for group in groups:
            self._fill(group, seats[group.first : group.last], places[group.first : group.last])
        # [rows * heads] a group
        starts = [
            np.arange(group.start, group.end, group.width, dtype=np.int32) for group in groups
        ]
        # [n * heads + 1]
        crow = torch.from_numpy(np.concatenate([*starts, np.array([at], dtype=np.int32)]))
        self._open = crow[:-1].numpy().reshape(-1, self._heads) + self._at[:, None]  # [n, heads]
        self._steps_left = min(
            group.width - 1 - max(places[group.first : group.last]) for group in groups
        )
        self._singles = SingleRowInputs(
            pattern=_sparse(
                crow, columns, scores, (len(seats) * self._heads, len(self._pool.heads[0]))
            ),
            mask=mask,
            groups=[scores[group.start : group.end].view(-1, group.width) for group in groups],
            offsets=crow[:-1],
        )

    def _fill(self, group: Group, seats: Sequence[int], places: Sequence[int]) -> None:
        """Columns and mask of one group."""
        # [g, blocks], g rows in the group
        table = self._tables.array[seats, : group.width // self._block_size]
        steps = np.arange(self._block_size, dtype=np.int32)  # [block_size]
        # [g, 1, width]
        rows = (table[:, :, None] * self._pool.stride + steps).reshape(len(table), 1, group.width)
        beyond = np.arange(group.width) > np.array(places)[:, None, None]  # [g, 1, width]
        shape = (len(table), self._heads, group.width)
        np.copyto(rows, rows[:, :, :1], where=beyond)
        # [g, 1, width] + [heads, 1] -> [g, heads, width]
        np.add(
            rows,
            self._head.astype(np.int32)[:, None],
            out=self._columns[group.start : group.end].reshape(shape),
        )
        self._mask[group.start : group.end].reshape(shape)[:] = np.where(
            beyond, np.float32(-np.inf), np.float32(0)
        )


def reading(pool: KVPool, first: Integers, batch: StepBatch, span: Span, start: int) -> Reading:
    """What the rows of one span read; they are the rows of the step from `start` on.

    first: where the pool holds each of the request's tokens, the span's own ones included.
    """
    rows = len(span.tokens)
    if span.start == 0 and not span.tree:
        last = (
            None
            if span.wanted == 1
            else _scores(torch.ones(rows, rows, dtype=torch.bool).tril())[-span.wanted :]
        )
        return Reading(start, start + rows, None, None, span.wanted, last)
    mask = _mask(span, batch.mask)  # [T, S]
    return Reading(
        start, start + rows, pool.head_rows(first), mask, span.wanted, mask[-span.wanted :]
    )


def _mask(span: Span, tree: Tensor | None) -> Tensor:
    """What is added to a span's scores, `[T, S]`."""
    rows, total = len(span.tokens), span.start + len(span.tokens)
    if tree is None or span.tree < rows:
        return _scores(visible(span, tree))
    mask = torch.zeros(rows, total)  # [T, S]
    mask[:, span.start :] = _scores(tree[span.first :][:rows, :rows])  # [T, N]
    return mask


def visible(span: Span, tree: Tensor | None) -> Tensor:
    """bool `[T, S]`: which of its request's S tokens each of a span's T rows sees."""
    rows, total = len(span.tokens), span.start + len(span.tokens)
    seen = torch.ones(rows, total, dtype=torch.bool).tril(span.start)  # [T, S]
    if span.tree and tree is not None:
        seen[rows - span.tree :, total - span.tree :] = tree[span.first :][
            : span.tree, : span.tree
        ]  # [N, N]
    return seen


def _scores(seen: Tensor) -> Tensor:
    """What is added to the scores: nothing where something is seen."""
    return torch.zeros(seen.shape).masked_fill_(~seen, float("-inf"))


def _cuts(blocks: Sequence[int]) -> list[tuple[int, int]]:
    """Consecutive groups of ascending table lengths: within one, the longest is at most STRETCH
    times the shortest."""
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
