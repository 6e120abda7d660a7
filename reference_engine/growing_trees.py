"""Trees of guesses while they grow, as the layer that guesses sees them, and how they are to grow.

A candidate was guessed; a node was read by the layer as well, to guess on after it. Node 0, the
root, is the last known token, and no candidate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from reference_engine.layer_rows import ROWS, START, TREE, WANTED, Floats, Integers, LayerRows


@dataclass(frozen=True, slots=True)
class GrowthPlan:
    """widths: of each level after the first guesses, how many candidates of a tree are guessed on
    at most: none of which nothing can be kept. guesses: after each of them, and after the root.
    size: nodes that are kept of a tree, the root included.
    """

    widths: tuple[int, ...]
    guesses: int
    size: int

    def __post_init__(self) -> None:
        """Raises ValueError where fewer candidates grow than are kept."""
        most = self.guesses * (1 + sum(self.widths))
        if not 0 < self.size <= 1 + most:
            raise ValueError(
                f"a tree of {self.size} nodes cannot be made of {most} candidates and the root"
            )


@dataclass(frozen=True, slots=True)
class KeptTrees:
    """What `DraftTree` has, as arrays; levels that grew after the first guesses, and their seconds."""

    token: Integers
    parent: Integers
    depth: Integers
    mask: np.ndarray[Any, np.dtype[np.bool_]]
    levels: int
    seconds: float


@dataclass(slots=True)
class GrowingTrees:
    """B trees with room for N nodes and M candidates each; `read` and `found` there are so far.

    spans int32 `[B, 6]`: see `LayerRows`, of the rows that are read last. slots `[B, N]`: of the
    nodes' features, keys and values. count: guesses after a node. starts int32 `[B]`: the places of
    the roots. depths int32 `[B, N]`, mask bool `[B, N, N]`: of the nodes. origin int64 `[B, N]`:
    which candidate a node was; -1: the root. token, node int64, value float32 `[B, M]`: of a
    candidate, the node that it was guessed after, and the ln of its path's probability.
    """

    spans: np.ndarray[Any, np.dtype[np.int32]]
    slots: Integers
    count: int
    starts: np.ndarray[Any, np.dtype[np.int32]] = field(init=False)
    depths: np.ndarray[Any, np.dtype[np.int32]] = field(init=False)
    mask: np.ndarray[Any, np.dtype[np.bool_]] = field(init=False)
    origin: Integers = field(init=False)
    token: Integers = field(init=False)
    node: Integers = field(init=False)
    value: Floats = field(init=False)
    read: int = 1
    found: int = 0

    def __post_init__(self) -> None:
        trees, nodes = self.slots.shape
        self.starts = self.spans[:, START] + self.spans[:, ROWS] - 1
        self.depths, self.mask = (
            np.zeros((trees, nodes), np.int32),
            np.zeros((trees, nodes, nodes), dtype=bool),
        )
        self.mask[:, 0, 0] = True
        self.origin = np.full((trees, nodes), -1, np.int64)
        self.token, self.node = np.zeros((2, trees, nodes * self.count), np.int64)
        self.value = np.zeros((trees, nodes * self.count), np.float32)

    @property
    def parent(self) -> Integers:
        """`[B, found]`: the candidate that each was guessed after; -1: the root."""
        return np.take_along_axis(self.origin, self.node[:, : self.found], 1)

    @property
    def depth(self) -> Integers:
        """`[B, found]`: of the candidates, from 1."""
        return np.take_along_axis(self.depths, self.node[:, : self.found], 1).astype(np.int64) + 1

    def read_on(self, chosen: Integers) -> LayerRows:
        """Candidates chosen `[B, W]` become nodes; what the layer reads of them."""
        wide, first, rows = chosen.shape[1], self.read, np.arange(len(chosen))[:, None]
        above, fresh = self.node[rows, chosen], np.arange(first, first + wide)
        self.read += wide
        self.depths[:, fresh] = self.depths[rows, above] + 1
        self.mask[:, fresh] = self.mask[rows, above]
        self.mask[:, fresh, fresh] = True
        self.origin[:, fresh] = chosen
        self.spans[:, START] = self.starts + first
        self.spans[:, ROWS] = self.spans[:, WANTED] = wide
        self.spans[:, TREE] = self.read
        before = self.slots[rows, above]
        return self.rows(
            self.token[rows, chosen].ravel(), before.ravel(), self.slots[:, fresh].ravel()
        )

    def rows(self, tokens: Integers, before: Integers, at: Integers) -> LayerRows:
        """Of the spans as they are."""
        mask = self.mask.reshape(-1, self.mask.shape[2])
        return LayerRows(self.spans, tokens, before, at, self.depths.ravel(), mask)

    def append(self, tokens: Integers, logs: Floats) -> None:
        """Guesses `[wanted, count]` after the nodes that were read last become candidates."""
        trees = len(self.slots)
        wide = len(tokens) // trees
        last, fresh = (
            slice(self.read - wide, self.read),
            slice(self.found, self.found + wide * self.count),
        )
        above = self.origin[:, last]
        so_far = np.where(
            above < 0, np.float32(0), np.take_along_axis(self.value, above.clip(0), 1)
        )  # [B, W]
        self.token[:, fresh] = tokens.reshape(trees, -1)
        self.node[:, fresh] = np.arange(last.start, last.stop).repeat(self.count)
        self.value[:, fresh] = so_far.repeat(self.count, 1) + logs.reshape(trees, -1)
        self.found = fresh.stop

    def highest(self, first: int, wide: int) -> Integers:
        """`[B, wide]`: of the candidates from `first` on those of the highest value, the highest
        first, of equal ones the lower."""
        order = np.argsort(-self.value[:, first : self.found], axis=1, kind="stable")
        return np.asarray(order[:, :wide] + first)

    def gain(self, chosen: Integers, kept: int) -> tuple[float, int]:
        """See `gain`, of these candidates."""
        values = self.value[:, : self.found]
        return gain(values, np.take_along_axis(values, chosen, 1), kept)

    def keep(self, roots: Sequence[int], size: int, levels: int, seconds: float) -> KeptTrees:
        """The root and the size - 1 best candidates of every tree, in order of creation: so they
        lie by depth."""
        best = np.sort(self.highest(0, size - 1), axis=1)  # [B, size - 1]
        trees, tree = len(best), np.arange(len(best))[:, None]
        # of the node that is kept; in the last column the root
        number = np.zeros((trees, self.found + 1), np.int64)
        number[tree, best] = np.arange(1, size)
        token, parent, depth = np.zeros((3, trees, size), np.int64)
        token[:, 0], parent[:, 0] = roots, -1
        token[:, 1:] = self.token[tree, best]
        parent[:, 1:] = number[tree, self.parent[tree, best]]
        depth[:, 1:] = self.depth[tree, best]
        mask = np.eye(size, dtype=bool)[None].repeat(trees, 0)
        for node in range(1, size):
            mask[:, node] |= mask[tree[:, 0], parent[:, node]]
        return KeptTrees(token, parent, depth, mask, levels, seconds)


def gain(values: np.ndarray, chosen: np.ndarray, kept: int) -> tuple[float, int]:
    """How many guesses more stand at most, as far as is known, if those after some candidates grow,
    in all trees; and how many of a tree's are useful.

    values `[B, M]`: of all candidates; chosen `[B, W]`: of those that are guessed on, the highest
    first. What follows each of them may push out one of the `kept` best of today, the worst first,
    and stands no oftener than it does. What follows one that is not above the worst is never kept:
    it is of no use.
    """
    wide = min(chosen.shape[1], kept)
    best = np.sort(values, axis=1)[:, -kept:]
    useful = int((chosen > best[:, :1]).sum(1).max(initial=0))
    gained, lost = (np.exp(each[:, :wide].astype(np.float64)) for each in (chosen, best))
    return float(np.maximum(gained - lost, 0.0).sum()), useful
