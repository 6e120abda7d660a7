"""Whether another level of a tree pays, by what levels and steps took here: decided after every level.

A level takes time, and yields what is expected to stand of it; the step as a whole yields so many tokens a second. A
level pays where it yields more in its time than the steps do in theirs: then it raises what they yield on average, else
it lowers it (the rule of a largest ratio, Dinkelbach 1967).
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

KNOWN = 4
"""Steps that are told before a level is refused."""
KEPT = 64
"""Steps that are remembered of each size of batch."""


@dataclass(frozen=True, slots=True)
class GrownStep:
    """A step with trees: its seconds, levels after the first one and their seconds, tokens that were given."""

    seconds: float
    levels: int
    growing: float
    tokens: int


class LevelCosts:
    """For one engine, by size of batch, to the next power of two."""

    def __init__(self) -> None:
        self._told: dict[int, deque[GrownStep]] = {}

    def note(self, batch: int, step: GrownStep) -> None:
        """What a step with `batch` trees took."""
        self._of(batch).append(step)

    def worth(self, batch: int, expected: float) -> bool:
        """Whether a level pays of which so many guesses are expected to stand, in all trees together."""
        told = self._of(batch)
        levels = sum(one.levels for one in told)
        if len(told) < KNOWN or not levels:
            return True
        due = sum(one.growing for one in told) / levels * sum(one.tokens for one in told)
        return expected * sum(one.seconds for one in told) > due

    def _of(self, batch: int) -> deque[GrownStep]:
        return self._told.setdefault(1 << max(0, batch - 1).bit_length(), deque(maxlen=KEPT))
