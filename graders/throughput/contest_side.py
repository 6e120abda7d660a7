"""All workers of one side of a contest: they stand still together, and what they use is counted
together."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

from graders.checking.workers import Workers

IDLE = 0.05
"""The share of the other's time that a side may use while it should be waiting: in bubblewrap nobody stands still."""
MOMENT = 0.02  # seconds that are nobody's: the kernel books what was used before a stop after it


@dataclass(slots=True)
class ContestSide:
    """Whatever was started for it, for this workload or for another."""

    members: list[Workers] = field(default_factory=list)

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Nothing of theirs runs meanwhile."""
        with contextlib.ExitStack() as stack:
            for workers in self.members:
                stack.enter_context(workers.still())
            yield

    def cpu_seconds(self) -> float:
        """CPU time of those that live, their keepers' and their children's in it."""
        return sum(workers.tree_seconds() for workers in self.members)


def idle(used: float, waited: float) -> bool:
    """Whether so many seconds of CPU time are none, while somebody else took his turn."""
    return used <= IDLE * waited + MOMENT
