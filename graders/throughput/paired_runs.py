"""Submission against reference: pairs of runs on fresh traces until every bound is decided, every
token verified."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

from graders.checking.failure import Broken
from graders.result import Outcome
from graders.sandbox.isolation import MachineFault, WorkerLost
from graders.throughput.contest_side import idle
from graders.throughput.decision import (
    LOOKS,
    Decision,
    Interval,
    decide,
    look_until_final,
    own_noise,
    submission_first,
)
from graders.throughput.step_cost import undercharged
from graders.throughput.timed_engine import Output, TimedEngine, TimedRun
from graders.workloads import Trace, workload
from reference_engine.processor import processor
from reference_engine.roofline import Ceilings, RaisedCeiling, Roof, TokenWork, Work, borrowed

MINE, REFERENCE = "", "reference"
AGAIN = 3
"""How many times as patiently the peak is measured when somebody came above it."""
Judge = Callable[[Trace, Output, int], bool]
Answer = TypeVar("Answer")


class Contender(Protocol):
    """Whoever serves traces."""

    def serve(self, trace: Trace) -> TimedRun: ...


@dataclass(frozen=True, slots=True)
class OpponentBound:
    """A bound to decide. engine: one that takes part. factor: how many times slower than it is what
    is meant."""

    bound: float
    engine: str = REFERENCE
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class Pair:
    """One trace, served by everybody. mine, theirs: seconds of the submission, with what
    `undercharged` adds, and of the others by their names.

    work: what nobody who serves the trace can leave out.
    """

    trace: str
    mine: float
    theirs: Mapping[str, float]
    work: Work

    def ratio(self, engine: str) -> float:
        """The submission's speed over the engine's."""
        return self.theirs[engine] / self.mine


@dataclass
class PairedRuns:
    """Runs pairs. right: whether the model could have said this output of a request; asked where
    the two differ.

    time_limit: seconds after which what is too close to call stays undecided. opponents: further
    engines that take part, by name. around: see `undercharged`. progress: told before every pair
    what is going on. roof: what the machine can do; known after the warm-up.
    """

    name: str
    seed: int
    mine: TimedEngine
    theirs: TimedEngine
    right: Judge
    opponents: Mapping[str, Contender] = field(default_factory=dict)
    scale: float = 1.0
    model: str = "waiter"
    around: float = 0.5
    progress: Callable[[str], None] = lambda _: None
    time_limit: float = 120.0
    pairs: list[Pair] = field(default_factory=list)
    roof: Roof | None = None

    def decide(self, bounds: Sequence[OpponentBound]) -> list[Decision]:
        """Warm up, then run pairs until every bound is decided, or one is missed beyond hope. What
        is decided stays.

        Raises Broken when the submission breaks down.
        """
        deadline = time.monotonic() + self.time_limit
        self._warm_up()
        decisions = look_until_final(
            self._measure, lambda: [self._decision(bound) for bound in bounds], deadline
        )
        mine = [pair.mine / pair.work.operations for pair in self.pairs]
        theirs = [pair.theirs[REFERENCE] / pair.work.operations for pair in self.pairs]
        return [own_noise(each, mine, theirs) for each in decisions]

    @property
    def raised(self) -> tuple[RaisedCeiling, ...]:
        """What was shown to be possible beyond what was measured."""
        return self.roof.raised if self.roof else ()

    def _measure(self, goal: int) -> None:
        while len(self.pairs) < goal:
            again = "" if goal <= LOOKS[0] else ", too close to call so far"
            self.progress(f"timing {self.name}: pair {len(self.pairs) + 1} of {goal}{again}")
            self.pairs.append(self._pair(len(self.pairs)))

    def _decision(self, wanted: OpponentBound) -> Decision:
        ratios = [pair.ratio(wanted.engine) * wanted.factor for pair in self.pairs]
        return decide(Interval.of(ratios), wanted.bound, ceiling=self._ceiling(wanted))

    def _ceiling(self, wanted: OpponentBound) -> float:
        """The ratio beyond which the submission would have been faster than the processor can be.

        In each pair the engine's time for the trace says which ratio that is; their bracket has the
        same end as the ratios', so a submission that was possible in every pair is below it,
        whatever slowed the engine down.
        """
        assert self.roof is not None
        limits = [
            self.roof.limit * pair.theirs[wanted.engine] * wanted.factor / pair.work.operations
            for pair in self.pairs
        ]
        return Interval.of(limits).lower

    def _trace(self, number: int) -> Trace:
        return workload(self.name, self.seed * 64 + number, model=self.model, scale=self.scale)

    def _warm_up(self) -> None:
        self.progress(f"timing {self.name}: warming up")
        trace = self._trace(63)
        theirs, *_ = [self._other(name, trace) for name in (REFERENCE, *self.opponents)]
        self._verify(trace, self._own(trace), theirs)
        peak, self._each = self._peak(trace)
        limit = processor().theoretical_peak
        self.roof = Roof(Ceilings(peak), lambda: Ceilings(self._peak(trace, AGAIN)[0]), limit=limit)

    def _peak(self, trace: Trace, effort: int = 1) -> tuple[float, TokenWork]:
        """Measured by the reference's process, which the submission cannot reach."""
        return self._blameless(REFERENCE, lambda: self.theirs.peak(trace, effort))

    def _pair(self, number: int) -> Pair:
        trace = self._trace(number)
        mine, others = None, dict[str, TimedRun]()
        turns = [MINE, REFERENCE, *self.opponents]
        for name in turns if submission_first(number) else reversed(turns):
            if name == MINE:
                mine = self._own(trace)
            else:
                others[name] = self._alone(name, trace)
        assert mine is not None
        self._verify(trace, mine, others[REFERENCE])
        work = Work(
            2 * (self._each.least * distinct_tokens(trace) + self._each.more * trace.tokens_out)
        )
        self._watch(work, mine, others)
        seconds = mine.seconds + undercharged(mine.steps, others[REFERENCE].steps, self.around)
        return Pair(
            trace.hash, seconds, {name: timed.seconds for name, timed in others.items()}, work
        )

    def _watch(self, work: Work, mine: TimedRun, others: Mapping[str, TimedRun]) -> None:
        """Whoever came above the peak has it measured again, and raised if need be; what others did
        counts as well."""
        assert self.roof is not None
        for name, timed in {**others, "the engine with your part": mine}.items():
            self.roof.watch(work, max(timed.seconds, 1e-9), name)

    def _own(self, trace: Trace) -> TimedRun:
        """The submission's turn. What ends it is the machine's fault where the reference ends as
        well, only there."""
        try:
            return self.mine.serve(trace)
        except WorkerLost:  # whoever grades tries again
            raise
        except (Broken, MachineFault) as end:
            if isinstance(end, Broken) and end.outcome is Outcome.INVALID:
                raise
            self._other(REFERENCE, trace)
            if isinstance(end, Broken) and end.outcome is not Outcome.UNGRADED:
                raise
            message = f"While it was timed: {end}; the reference engine served the same requests."
            raise Broken(message, outcome=Outcome.CRASH) from None

    def _alone(self, name: str, trace: Trace) -> TimedRun:
        """Another's turn, in which the submission's processes and their keepers stand still; Broken
        if they did not."""
        before = self.mine.cpu_seconds()
        timed = self._other(name, trace)
        used = self.mine.cpu_seconds() - before
        if not idle(used, timed.seconds):
            message = f"It computed for {used:.2f} s while another engine was timed."
            raise Broken(message, outcome=Outcome.INVALID)
        return timed

    def _other(self, name: str, trace: Trace) -> TimedRun:
        """Another's turn."""
        contender: Contender = self.theirs if name == REFERENCE else self.opponents[name]
        return self._blameless(name, lambda: contender.serve(trace))

    def _blameless(self, name: str, call: Callable[[], Answer]) -> Answer:
        """What another does, while nothing of the submission runs; whatever goes wrong in it is no
        fault of its."""
        try:
            with self.mine.still():
                return call()
        except Broken as broken:
            if broken.outcome is Outcome.UNGRADED:
                raise
            message = f"Not decided: the engine beside yours, {name}, failed. {broken.message}"
            raise Broken(message, outcome=Outcome.UNGRADED) from None

    def _verify(self, trace: Trace, mine: TimedRun, theirs: TimedRun) -> None:
        """Every token: the reference's, or one that the oracle could say as well."""
        for number, (request, said, due) in enumerate(
            zip(trace.requests, mine.outputs, theirs.outputs, strict=True)
        ):
            if len(said) != request.max_new:
                raise Broken(
                    f"While it was timed, request {number} got {len(said)} tokens; {request.max_new} were due."
                )
            if said != due and not self.right(trace, said, number):
                place = next(
                    index for index, (a, b) in enumerate(zip(said, due, strict=True)) if a != b
                )
                raise Broken(
                    f"While it was timed, request {number} got something else than the model says: token {place} "
                    f"is {said[place]}, {due[place]} is right."
                )


def oracle_agrees(trace: Trace, said: Output, number: int) -> bool:
    """Whether greedy decoding could have said this; imports torch, so it is asked only where
    engines differ."""
    from reference_engine import oracle
    from reference_engine.model_loader import load_model

    return oracle.replay(load_model(trace.model), trace.requests[number].prompt, said) is None


def distinct_tokens(trace: Trace) -> int:
    """Tokens that any engine must compute: an opening that prompts share counts once, the last
    token not at all."""
    known = sum(borrowed([(request.prompt, request.max_new) for request in trace.requests]))
    return trace.tokens_in - known + trace.tokens_out - len(trace.requests)
