"""What `paged_decode` returns, position by position, in plain Python and float64. Nothing is shared
with the solution.

Numbers are sixteenths: exact in bf16 and float32, and so are their products and sums of them.
"""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import mul

LARGEST = 48  # of the sixteenths that are drawn
UNOWNED = 3  # blocks that nobody has, usually
SPARE = 2  # entries of a table beyond the longest request, usually
BEYOND = (1_000_003, -1_000_003)  # what stands in a table beyond the length, where it is no block


@dataclass(frozen=True)
class Decode:
    """One call: B = len(lengths) requests over a pool of blocks.

    group: query heads of a KV head. width: D. magnitude: all numbers are multiplied by it. wild:
    entries of the tables beyond a length are no blocks at all; otherwise they are blocks of others,
    or nobody's. unowned: blocks that nobody has. spare: entries
    that a table has more than the longest request has blocks.
    """

    lengths: tuple[int, ...]
    block_size: int = 4
    kv_heads: int = 1
    group: int = 1
    width: int = 32
    dtype: str = "float32"
    split: int = 1
    scale: float = 0.125
    magnitude: float = 1.0
    wild: bool = False
    seed: int = 0
    unowned: int = UNOWNED
    spare: int = SPARE

    @property
    def heads(self) -> int:
        """Hq."""
        return self.kv_heads * self.group

    @property
    def blocks(self) -> int:
        """Of the pool."""
        return sum(-(-length // self.block_size) for length in self.lengths) + self.unowned

    @cached_property
    def tables(self) -> tuple[tuple[int, ...], ...]:
        """Blocks in no order, and the spare entries."""
        chance = random.Random(self.seed)
        order = chance.sample(range(self.blocks), self.blocks)
        needs = [-(-length // self.block_size) for length in self.lengths]
        wide, rows = max(needs, default=0) + self.spare, []
        for need in needs:
            own, order = order[:need], order[need:]
            beyond = BEYOND if self.wild else range(self.blocks)
            rows.append((*own, *(chance.choice(beyond) for _ in range(wide - need))))
        return tuple(rows)

    @cached_property
    def numbers(self) -> tuple[list[int], list[list[int]], list[list[int]]]:
        """Sixteenths: q, then keys and values of each request, flat."""
        chance = random.Random(self.seed + 1)
        q = _drawn(chance, len(self.lengths) * self.heads * self.width)
        sizes = [length * self.kv_heads * self.width for length in self.lengths]
        return q, [_drawn(chance, size) for size in sizes], [_drawn(chance, size) for size in sizes]

    @property
    def partials(self) -> int:
        """Numbers enough for the result and what its parts leave, however they are padded: acc,
        peak and total."""
        return (self.split + 1) * len(self.lengths) * self.heads * (2 * self.width + 8)

    @property
    def largest(self) -> float:
        """No value is larger."""
        return LARGEST / 16 * self.magnitude

    def query(self, row: int, head: int) -> list[float]:
        """q[row, head]."""
        start = (row * self.heads + head) * self.width
        return [
            number / 16 * self.magnitude for number in self.numbers[0][start : start + self.width]
        ]

    def context(self, which: int, row: int, kv_head: int) -> list[list[float]]:
        """Keys (1) or values (2) of a request for one KV head, position by position."""
        flat, step = (
            (self.numbers[1] if which == 1 else self.numbers[2])[row],
            self.kv_heads * self.width,
        )
        starts = range(kv_head * self.width, len(flat), step)
        return [
            [number / 16 * self.magnitude for number in flat[start : start + self.width]]
            for start in starts
        ]

    def scores(self, row: int, head: int, kv_head: int) -> list[float]:
        """Before the softmax."""
        query = self.query(row, head)
        return [self.scale * sum(map(mul, query, key)) for key in self.context(1, row, kv_head)]

    def out(self, row: int, head: int) -> list[float]:
        """out[row, head]."""
        kv_head = head // self.group
        return averaged(self.scores(row, head, kv_head), self.context(2, row, kv_head), self.width)


def _drawn(chance: random.Random, count: int) -> list[int]:
    return [chance.randint(-LARGEST, LARGEST) for _ in range(count)]


def averaged(scores: Sequence[float], values: Sequence[Sequence[float]], width: int) -> list[float]:
    """The softmax of the scores over the values; zeros for none."""
    if not scores:
        return [0.0] * width
    peak = max(scores)
    weights = [math.exp(score - peak) for score in scores]
    total = math.fsum(weights)
    return [sum(map(mul, weights, column)) / total for column in zip(*values, strict=True)]
