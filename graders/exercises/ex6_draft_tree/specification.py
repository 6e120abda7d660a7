"""What the three functions of exercise 6 mean, candidate by candidate, in plain Python.

Nothing is shared with the solution. A row of a growth is a list of candidates; a batch is a list of
rows.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

ROOT = -1


@dataclass(frozen=True, slots=True)
class Candidate:
    """A guess. parent: index of a candidate, -1: the root. value: log-probability of its path."""

    token: int
    parent: int
    depth: int
    value: float


RowGrowth = list[Candidate]


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a row's tree. candidate: its index, -1: the root. sees: numbers of the nodes that
    it sees."""

    token: int
    parent: int
    depth: int
    candidate: int
    sees: frozenset[int]


def grown(
    row: RowGrowth,
    chosen: Sequence[int],
    tokens: Sequence[Sequence[int]],
    logs: Sequence[Sequence[float]],
) -> RowGrowth:
    """The row with the guesses after each chosen candidate."""
    new = []
    for above, guesses, surely in zip(chosen, tokens, logs, strict=True):
        depth, value = (0, 0.0) if above == ROOT else (row[above].depth, row[above].value)
        new += [
            Candidate(token, above, depth + 1, value + log)
            for token, log in zip(guesses, surely, strict=True)
        ]
    return [*row, *new]


def frontier(row: RowGrowth, depth: int, width: int) -> list[int]:
    """The best candidates of a depth, the highest value first, the lower index first among equals."""
    own = [index for index, each in enumerate(row) if each.depth == depth]
    return sorted(own, key=lambda index: (-row[index].value, index))[:width]


def kept(row: RowGrowth, size: int) -> list[int]:
    """The size - 1 best candidates, in node order."""
    best = sorted(range(len(row)), key=lambda index: (-row[index].value, index))[: size - 1]
    return sorted(best, key=lambda index: (row[index].depth, index))


def tree(row: RowGrowth, root: int, size: int) -> list[Node]:
    """The nodes of the tree that is kept."""
    chosen = kept(row, size)
    number = {ROOT: 0} | {index: node for node, index in enumerate(chosen, 1)}
    nodes = [Node(root, -1, 0, ROOT, frozenset([0]))]
    for node, index in enumerate(chosen, 1):
        each = row[index]
        parent = number[each.parent]
        nodes.append(Node(each.token, parent, each.depth, index, nodes[parent].sees | {node}))
    return nodes


def expected(row: RowGrowth, chosen: Sequence[int]) -> float:
    """How many of these guesses stand on average, if the drafter's probabilities are right."""
    return sum(math.exp(row[index].value) for index in chosen)


def trees(row: RowGrowth, count: int) -> Iterator[tuple[int, ...]]:
    """Every set of so many candidates that is connected with the root."""
    for chosen in itertools.combinations(range(len(row)), count):
        held = {ROOT, *chosen}
        if all(row[index].parent in held for index in chosen):
            yield chosen
