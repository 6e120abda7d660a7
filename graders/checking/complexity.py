"""How a cost grows with a size: two measurements, what growth is allowed, and the sentence when it
is exceeded.

Work is counted where it can be (bytecode instructions, looks at instrumented tokens: the same on
any machine) and timed where it cannot (loops in C). Counted work may exceed its allowance by
little, CPU time by several times: caches, clocks and neighbours can make honest work a few times
dearer, and a loop that should not be there costs tens of times more.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

FLOOR = 60  # instructions that never matter: one more branch taken
SLICE = 0.001  # seconds of CPU time that one measurement takes at least
MOST_PASSES = 4096
COPIES = 24


@dataclass(frozen=True, slots=True)
class Cost:
    """What one call, or one pass of a loop of calls, costs at a size. unit: "instructions" or "µs"."""

    size: int
    amount: float
    unit: str = "instructions"

    def __str__(self) -> str:
        digits = 1 if self.unit == "µs" and self.amount < 100 else 0
        return f"{self.amount:,.{digits}f} {self.unit}"


@dataclass(frozen=True, slots=True)
class Growth:
    """The cost of the same work at two sizes. linear: it may grow with the size; otherwise it may
    not."""

    what: str
    small: Cost
    large: Cost
    linear: bool = False

    @property
    def sizes(self) -> float:
        """How many times larger."""
        return self.large.size / self.small.size

    @property
    def times(self) -> float:
        """How many times dearer."""
        return self.large.amount / max(self.small.amount, 1e-9)

    @property
    def more(self) -> float:
        """How much more the larger costs, in its unit."""
        return self.large.amount - self.small.amount

    def exceeds(self, allowance: float) -> bool:
        """Whether it costs more than `allowance` times what is right at the larger size."""
        due = self.small.amount * (self.sizes if self.linear else 1.0)
        slack = FLOOR if self.small.unit == "instructions" else 0.0
        return self.large.amount > allowance * due + slack

    @property
    def dearer(self) -> str:
        """ "37 times"."""
        return f"{self.times:.0f} times" if self.times >= 10 else f"{self.times:.1f} times"

    @property
    def larger(self) -> str:
        """ "8 times"."""
        return f"{self.sizes:.0f} times"

    @property
    def due(self) -> str:
        """What is right."""
        return f"about {self.larger} as much at most" if self.linear else "about the same on both"


def looking_at_each(size: int) -> float:
    """Microseconds of CPU time that copying a list of so many integers takes here: nothing that
    looks at every element is cheaper. The least of many, so that it is rather too small."""
    elements, least = list(range(size)), float("inf")
    for _ in range(COPIES):
        before = time.thread_time()
        elements.copy()
        least = min(least, time.thread_time() - before)
    return least * 1e6


def medians(counts: Sequence[int], calls: int) -> list[int]:
    """Of rounds of so many calls each, written one after the other: the median of each call.

    A rare rebuild that pays for many calls does not show in it, but work that most calls do.
    """
    return [int(statistics.median(counts[index::calls])) for index in range(calls)]


def cheapest(costs: Iterable[Cost]) -> Cost:
    """The least disturbed of several measurements of the same work."""
    return min(costs, key=lambda cost: cost.amount)
