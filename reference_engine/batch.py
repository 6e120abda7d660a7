"""One step as the runner sees it: a flat list of tokens, and which KV each of them may read.

The rows of a request are the last tokens of its KV: contiguous positions, unless its last rows are
a tree of guesses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from reference_engine.slots import Block


@dataclass(frozen=True, slots=True)
class Span:
    """One request's rows in a step.

    tokens are computed at KV places start, start + 1, ... of the request whose block table is row
    `seat` of the tables. The last `tree` of them are nodes of a tree of guesses (0: none), whose
    node 0, the last known token, is node `first` of the batch. wanted: how many of its last rows
    need logits.
    """

    seat: int
    start: int
    tokens: Sequence[int]
    wanted: int
    tree: int = 0
    first: int = 0


@dataclass(frozen=True, slots=True)
class StepBatch:
    """The spans of a step and their trees: decodes first, then by their number of rows.

    depths: of the nodes of all trees, one tree after the other; spans may share one. mask: bool
    [T * N, N] of T trees with N nodes, mask[i, j]: node i sees node j of its own tree. Both None
    without a tree. A node sees all of its request's KV before the tree.
    """

    spans: tuple[Span, ...]
    depths: tuple[int, ...] | None = None
    mask: Tensor | None = None

    def positions(self, span: Span) -> Sequence[int]:
        """Where each row of a span stands in its text."""
        end = span.start + len(span.tokens)
        if not span.tree or self.depths is None:
            return range(span.start, end)
        root = end - span.tree
        return [
            *range(span.start, root),
            *(root + depth for depth in self.depths[span.first : span.first + span.tree]),
        ]


class Tables:
    """The block tables of the running requests, one row a seat, kept on the host as int32 `[seats,
    width]`.

    Entries beyond a table's end are scratch (0). `tensor` shares the memory of `array`. `version`
    changes whenever a table does anything but grow at its end.
    """

    def __init__(self, seats: int, width: int) -> None:
        self.array = np.zeros((seats, width), dtype=np.int32)
        self.tensor = torch.from_numpy(self.array)
        self.version = 0
        self._held: list[tuple[Block, ...]] = [()] * seats

    def put(self, seat: int, table: Sequence[Block]) -> None:
        """Make `table` the table of a seat."""
        table, before = tuple(table), self._held[seat]
        if before and table[: len(before)] == before:
            self.array[seat, len(before) : len(table)] = table[len(before) :]
        else:
            self.version += 1
            self.array[seat, : len(table)] = table
            self.array[seat, len(table) :] = 0
        self._held[seat] = table
