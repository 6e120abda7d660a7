"""Whether another level of a tree pays, by what levels and steps took here: decided after every
level.

A level takes time, and yields what is expected to stand of it; the step as a whole yields so many
tokens a second. A level pays where it yields more in its time than the steps do in theirs: then it
raises what they yield on average, else it lowers it (the rule of a largest ratio, Dinkelbach 1967).
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
    """A step with trees: its seconds, levels after the first one and their seconds, tokens that
    were given."""

    seconds: float
    levels: int
    growing: float
    tokens: int


class LevelCosts:
    """For one engine, by size of batch, to the next power of two."""

    def __init__(self) -> None:
        self._told: dict[int, _Told] = {}

    def note(self, batch: int, step: GrownStep) -> None:
        """What a step with `batch` trees took."""
        self._of(batch).note(step)

    def due(self, batch: int) -> float:
        """A level pays of which more guesses may stand than this, in all trees together; 0: not
        known yet."""
        return self._of(batch).due

    def _of(self, batch: int) -> _Told:
        return self._told.setdefault(1 << max(0, batch - 1).bit_length(), _Told())


class _Told:
    """What steps of one size took. Sums are of those that are remembered."""

    def __init__(self) -> None:
        self._steps = deque[GrownStep]()
        self._seconds = self._growing = 0.0
        self._levels = self._tokens = 0

    def note(self, step: GrownStep) -> None:
        self._steps.append(step)
        self._count(step, 1)
        if len(self._steps) > KEPT:
            self._count(self._steps.popleft(), -1)

    @property
    def due(self) -> float:
        if len(self._steps) < KNOWN or not self._levels:
            return 0.0
        return self._growing / self._levels * self._tokens / self._seconds

    def _count(self, step: GrownStep, times: int) -> None:
        self._seconds += times * step.seconds
        self._growing += times * step.growing
        self._levels += times * step.levels
        self._tokens += times * step.tokens
