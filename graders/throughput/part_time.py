"""What a call of the part costs beside the reference's, with nothing else on the clock.

In an engine a part may be a hundredth of a pass, and then an engine's speed says little about it.
So both parts make the same calls on the same fresh inputs, in turns, many calls for one question,
and the grader times the question. A question in which a stand-in takes the part's place tells what
wire and driver cost; it is asked of the reference's worker alone, and its time is taken off both.
Seconds are those in which a worker computes or sleeps, see `graders.sandbox.worker.Reading`: a busy
machine makes nobody slow. What was returned comes back as a number, made while the clock runs: the
same number, or the answer was another.

The rule that decides is that of `decision`: one ratio for each pair, the reference's time over the
part's. Each side's time in a pair is the least of `TRIES` short questions.
"""

from __future__ import annotations

import contextlib
import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from graders.checking.failure import Broken
from graders.registry.parts import timed_calls
from graders.result import Outcome
from graders.throughput.bounds import PartBound
from graders.throughput.contest_side import idle
from graders.throughput.decision import (
    Decision,
    Interval,
    decide,
    look_until_final,
    own_noise,
    submission_first,
)

TRIES = 2
QUESTION = 0.002
"""Seconds that a question should take the reference: long beside the wire, short beside a slice of a busy machine."""
NEARLY = (3 / 4, 5 / 4)
"""What is drawn for a size: a number that is public could be told from all others."""
FEW = 8
"""A size below it is what it is."""
MANY = 64
"""Calls of a question at most."""
SLOWER = 8
"""A part that is slower than this is asked for fewer calls at once."""
NOTHING = 1e-7
"""Seconds: no call costs less."""


@dataclass(frozen=True, slots=True)
class Ran:
    """One question: seconds by the grader's clock, and the number of the answers."""

    seconds: float
    number: int


class Side(Protocol):
    """One of the two parts, in its worker."""

    def run(self, function: str, size: int, seed: int, times: int, *, idle: bool = False) -> Ran:
        """So many calls on inputs drawn from the seed; with `idle` a stand-in makes them."""
        ...

    def still(self) -> contextlib.AbstractContextManager[None]:
        """Nothing of its process runs meanwhile."""
        ...

    def cpu_seconds(self) -> float: ...


@dataclass(frozen=True, slots=True)
class CallTime:
    """Seconds of one call of a function, the part's and the reference's: medians over all pairs."""

    function: str
    mine: float
    theirs: float

    @property
    def slowness(self) -> float:
        return self.mine / self.theirs


@dataclass(frozen=True, slots=True)
class UnitTime:
    """What one bound came to, and the calls it is made of. size: what was drawn for the bound's."""

    bound: PartBound
    decision: Decision
    calls: tuple[CallTime, ...]
    size: int

    @property
    def slowest(self) -> CallTime:
        """The call that loses the most time."""
        return max(self.calls, key=lambda call: call.mine - call.theirs)


@dataclass
class _Cell:
    """A function at a size. times: calls of a question. base: seconds of the emptiest question so
    far."""

    function: str
    size: int
    times: int = 1
    base: float = float("inf")
    mine: list[float] = field(default_factory=list)
    theirs: list[float] = field(default_factory=list)

    def note(self, mine: float, theirs: float) -> None:
        """Seconds of the two questions of a pair; kept as they are, since `base` may still fall."""
        self.mine.append(mine)
        self.theirs.append(theirs)

    def net(self, seconds: float) -> float:
        """Of one call."""
        return max((seconds - self.base) / self.times, NOTHING)

    def time(self) -> CallTime:
        mine, theirs = statistics.median(self.mine), statistics.median(self.theirs)
        return CallTime(self.function, self.net(mine), self.net(theirs))


@dataclass
class PartContest:
    """Runs pairs of questions. time_limit: seconds after which what is too close to call stays
    undecided."""

    seed: int
    mine: Side
    theirs: Side
    bounds: Sequence[PartBound]
    progress: Callable[[str], None] = lambda _: None
    time_limit: float = 30.0
    pairs: int = 0
    _cells: dict[tuple[str, int], _Cell] = field(default_factory=dict)
    _waited: float = 0.0
    _used: float = 0.0

    def decide(self) -> list[UnitTime]:
        """Pairs until every bound is decided, or one is missed beyond hope.

        Raises Broken when the part breaks down, returns something else than the reference, or
        computes in the reference's turn.
        """
        deadline = time.monotonic() + self.time_limit
        self._prepare()
        decisions = look_until_final(
            self._measure, lambda: [self._decision(bound) for bound in self.bounds], deadline
        )
        decisions = [
            own_noise(each, *self._seconds(bound))
            for each, bound in zip(decisions, self.bounds, strict=True)
        ]
        return [
            UnitTime(
                bound, decision, tuple(cell.time() for cell in self._unit(bound)), self._size(bound)
            )
            for bound, decision in zip(self.bounds, decisions, strict=True)
        ]

    def _measure(self, goal: int) -> None:
        while self.pairs < goal:
            self.progress(f"timing your part's calls: pair {self.pairs + 1} of {goal}")
            self._pair()

    def _size(self, bound: PartBound) -> int:
        """Drawn from the seed, the same for all units of one size."""
        least, most = (round(share * bound.size) for share in NEARLY)
        return (
            bound.size
            if bound.size < FEW
            else random.Random(f"{self.seed}/{bound.size}").randint(least, most)
        )

    def _unit(self, bound: PartBound) -> list[_Cell]:
        return [
            self._cells[function, self._size(bound)]
            for function in timed_calls(bound.exercise)[bound.unit]
        ]

    def _decision(self, bound: PartBound) -> Decision:
        ratios = [theirs / mine for mine, theirs in zip(*self._seconds(bound), strict=True)]
        return decide(Interval.of(ratios), bound.bound)

    def _seconds(self, bound: PartBound) -> tuple[list[float], list[float]]:
        """Of the part's calls and the reference's, by pair."""
        cells, pairs = self._unit(bound), range(self.pairs)
        mine = [sum(cell.net(cell.mine[pair]) for cell in cells) for pair in pairs]
        theirs = [sum(cell.net(cell.theirs[pair]) for cell in cells) for pair in pairs]
        return mine, theirs

    def _prepare(self) -> None:
        """Warm up, and choose how many calls make a question."""
        self.progress("timing your part's calls: warming up")
        for bound in self.bounds:
            for function in timed_calls(bound.exercise)[bound.unit]:
                size = self._size(bound)
                cell = self._cells.setdefault((function, size), _Cell(function, size))
                tries = [self._question(cell, number) for number in (-2, -1)]
                theirs, mine = (min(ran[side].seconds for ran in tries) for side in (0, 1))
                base = min(self._idle(cell, number) for number in (-2, -1))
                wanted = max(theirs - base, (mine - base) / SLOWER, NOTHING)
                cell.times = max(1, min(MANY, round(QUESTION / wanted)))

    def _question(self, cell: _Cell, number: int) -> tuple[Ran, Ran]:
        """The same calls by the reference and by the part."""
        ask = (cell.function, cell.size, self._seed(cell, number), cell.times)
        if submission_first(number):
            mine = self.mine.run(*ask)
        before = self.mine.cpu_seconds()
        with self.mine.still():
            theirs = self.theirs.run(*ask)
        self._used += self.mine.cpu_seconds() - before
        self._waited += theirs.seconds
        if not submission_first(number):
            mine = self.mine.run(*ask)
        if mine.number != theirs.number:
            raise Broken(
                f"While it was timed, `{cell.function}` returned something else than is right: {cell.times} calls of "
                f"size {cell.size}, drawn from seed {ask[2]}."
            )
        return theirs, mine

    def _idle(self, cell: _Cell, number: int) -> float:
        ask = (cell.function, cell.size, self._seed(cell, number), cell.times)
        with self.mine.still():
            return self.theirs.run(*ask, idle=True).seconds

    def _seed(self, cell: _Cell, number: int) -> int:
        return random.Random(f"{self.seed}/{cell.function}/{cell.size}/{number}").getrandbits(40)

    def _pair(self) -> None:
        self._waited = self._used = 0.0
        for cell in self._cells.values():
            tries = [self._question(cell, TRIES * self.pairs + turn) for turn in range(TRIES)]
            cell.base = min(cell.base, self._idle(cell, self.pairs))
            theirs, mine = (min(ran[side].seconds for ran in tries) for side in (0, 1))
            cell.note(mine, theirs)
        if not idle(self._used, self._waited):
            message = f"It computed for {self._used:.2f} s while the reference was timed."
            raise Broken(message, outcome=Outcome.INVALID)
        self.pairs += 1
