"""One timed workload of an exercise: who takes part, the paired runs, and what each bound came to."""

from __future__ import annotations

import dataclasses
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.workers import Source, Workers
from graders.registry.parts import PARTS, part_in, part_of
from graders.result import Figure, Outcome
from graders.sandbox.worker_prestart import TIMED
from graders.throughput.bounds import REFERENCE, Bound, Measure, PartBound
from graders.throughput.contest_side import ContestSide
from graders.throughput.decision import Call, Decision, score
from graders.throughput.opponents import Opponent, standing
from graders.throughput.paired_runs import OpponentBound, PairedRuns, oracle_agrees
from graders.throughput.part_time import NOTHING, CallTime, PartContest, UnitTime
from graders.throughput.timed_engine import TimedEngine
from graders.workloads import FAMILIES, model_files
from reference_engine.roofline import RaisedCeiling

NEARLY = 0.99
"""Of the points, for a bound that is missed by however little."""


@dataclass(frozen=True, slots=True)
class WorkloadVerdict:
    """What one workload, or one bound of it, came to. rank: the lowest is what the learner is told
    of."""

    outcome: Outcome
    score: float
    message: str = ""

    @property
    def rank(self) -> tuple[int, float]:
        return (Outcome.FAIL, Outcome.UNGRADED, Outcome.PASS).index(self.outcome), self.score


class TimedEngines:
    """The engines of an exercise, each in a worker of its own, started once for all workloads;
    `stack` ends them.

    The worker of the laws that are not timed ends here: nothing of a submission lives beside what
    is timed.
    """

    def __init__(self, context: CheckContext, stack: ExitStack) -> None:
        self._context, self._stack, self._level = context, stack, context.worker.level
        context.workers.end()
        self._sides = {"mine": ContestSide(), "reference": ContestSide()}
        self._ready = 0 if context.ahead is None else context.crew
        self._workers: dict[tuple[object, ...], Workers] = {}

    def engine(
        self, who: str, sources: Sequence[Source], model: str, *, guesses: bool
    ) -> TimedEngine:
        """The engine with these parts. who: "mine" or "reference". A model's folder is shown to who
        serves it only.

        Raises Broken, ungraded, where the worker's user may not read the model.
        """
        level, files = self._level, model_files(model)
        closed = _closed(files) if level == "L4" and os.geteuid() == 0 else ""
        if closed:
            message = f"Not timed: the engine runs as a user who may not read {closed}; `chmod o+r` lets it."
            raise Broken(message, outcome=Outcome.UNGRADED)
        key = (who, files, *(source.slot for source in sources))
        if key not in self._workers:
            ahead = None if files or not self._ready else self._context.ahead
            first = None if ahead is None else ahead.take()
            self._ready -= first is not None
            limits = dataclasses.replace(TIMED, readable=files)
            paid = self._context.allowance
            self._workers[key] = Workers(
                sources, level=level, limits=limits, first=first, allowance=paid
            )
            self._stack.callback(self._workers[key].end)
            self._sides[who].members.append(self._workers[key])
        return TimedEngine(
            self._context, self._workers[key], guesses=guesses, side=self._sides[who]
        )

    @contextmanager
    def alone(self) -> Iterator[None]:
        """Samples are taken meanwhile, and nobody else's. Afterwards everybody stands still: to end
        them takes time."""
        with self._context.alone():
            try:
                yield
            finally:
                for workers in self._workers.values():
                    workers.stop()


def _closed(files: Sequence[str]) -> str:
    """The first that only its owner may read, or ""."""
    return next((path for path in files if not os.stat(path).st_mode & stat.S_IROTH), "")


def timed(context: CheckContext, measure: Measure, engines: TimedEngines) -> WorkloadVerdict:
    """Play the paired runs, note the figures. Raises Broken when a part fails on the way.

    Among naive parts nobody else's engine is a measure: the reference has the same company, and
    opponents are left out.
    """
    with ExitStack() as stack:
        names = [
            bound.engine
            for bound in measure.bounds
            if bound.engine != REFERENCE and context.others != "naive"
        ]
        opponents = {name: standing(name, measure, context, stack) for name in names}
        runs = _paired_runs(context, measure, engines, opponents)
        wanted = [
            (bound, opponents.get(bound.engine))
            for bound in measure.bounds
            if _counts(bound, opponents)
        ]
        decisions = runs.decide([_against(bound, opponent) for bound, opponent in wanted])
    context.cases += len(runs.pairs)
    context.figures += [_raised(measure, raised) for raised in runs.raised if raised.possible]
    missing = "; ".join(opponent.why for opponent in opponents.values() if not opponent.measured)
    verdicts = []
    for (bound, opponent), decision in zip(wanted, decisions, strict=True):
        context.figures.append(
            _figure(measure, bound, opponent, decision, "" if opponent else missing)
        )
        if decision.final:
            verdicts.append(_verdict(measure, bound, opponent, decision))
    return together(verdicts)


def timed_calls(
    context: CheckContext,
    measure: Measure | None,
    bounds: Sequence[PartBound],
    engines: TimedEngines,
    given: Sequence[Any] = (),
) -> WorkloadVerdict:
    """Time the part's calls in the workers that serve `measure`; None: in workers of their own.

    Raises Broken when the part fails on the way.

    given: what the driver of the calls is told beforehand.
    """
    mine, theirs = (
        engine.calls(context.exercise.slot, given) for engine in _sides(context, measure, engines)
    )
    runs = PartContest(context.seed, mine, theirs, bounds, progress=context.progress)
    found = runs.decide()
    context.cases += runs.pairs
    context.figures += map(_calls_figure, found)
    return together([_calls_verdict(unit) for unit in found if unit.decision.final])


def together(verdicts: Sequence[WorkloadVerdict]) -> WorkloadVerdict:
    """The worst one, with the fewest points of those that were decided: what was not costs nobody
    points."""
    worst = min(verdicts, key=lambda verdict: verdict.rank)
    decided = [verdict.score for verdict in verdicts if verdict.outcome is not Outcome.UNGRADED]
    return WorkloadVerdict(worst.outcome, min(decided, default=0.0), worst.message)


def _counts(bound: Bound, opponents: Mapping[str, Opponent]) -> bool:
    return bound.engine == REFERENCE or (
        bound.engine in opponents and opponents[bound.engine].measured
    )


def _against(bound: Bound, opponent: Opponent | None) -> OpponentBound:
    return (
        OpponentBound(bound.bound)
        if opponent is None
        else OpponentBound(bound.bound, opponent.through, opponent.factor)
    )


def _paired_runs(
    context: CheckContext,
    measure: Measure,
    engines: TimedEngines,
    opponents: Mapping[str, Opponent],
) -> PairedRuns:
    mine, theirs = _sides(context, measure, engines)
    return PairedRuns(
        measure.workload,
        context.seed,
        mine,
        theirs,
        oracle_agrees,
        opponents={
            name: opponent.contender
            for name, opponent in opponents.items()
            if opponent.contender is not None
        },
        scale=measure.scale,
        model=measure.model,
        around=part_in(context.exercise.slot).around,
        progress=context.progress,
    )


def _sides(
    context: CheckContext, measure: Measure | None, engines: TimedEngines
) -> tuple[TimedEngine, TimedEngine]:
    """The engine with the submission, and the one with the solutions alone; without a measure the
    parts alone."""
    kinds = FAMILIES[measure.workload].kinds if measure else set[str]()
    model, guesses = measure.model if measure else "waiter", "guessed" in kinds
    own = Source.of(context.exercise.slot, context.submission)
    parts = [part for part in PARTS if part.timed_in in kinds or part.slot == own.slot]
    if context.others == "naive":
        parts = [part for part in parts if part.slot == own.slot or not part.simulated]
    slots = [part.slot for part in parts]
    beside = "solutions" if context.others == "naive" else context.others
    mine = [*(_source(context, slot, beside) for slot in slots if slot != own.slot), own]
    theirs = [_source(context, slot, "solutions") for slot in slots]
    return (
        engines.engine("mine", mine, model, guesses=guesses),
        engines.engine("reference", theirs, model, guesses=guesses),
    )


def _source(context: CheckContext, slot: str, others: str) -> Source:
    path = dataclasses.replace(context, others=others).solution(slot)
    return Source(slot, path.name, path.read_text(encoding="utf-8"), secret=others == "solutions")


def _figure(
    measure: Measure, bound: Bound, opponent: Opponent | None, decision: Decision, missing: str
) -> Figure:
    bracket = decision.bracket
    how = "measured now" if opponent is None else opponent.how
    note = f"{how}, {bracket.pairs} pairs, {bracket.lower:.2f} to {bracket.upper:.2f}"
    if decision.marginal:
        note += ", marginal"
    if missing:
        note += f"; {missing}"
    label = "the reference engine" if opponent is None else opponent.label
    return Figure(
        f"{measure.workload}, speed beside {label}", bracket.median, "x", bound.bound, "bound", note
    )


def _raised(measure: Measure, raised: RaisedCeiling) -> Figure:
    """That the measured peak was too low: nobody's fault, and nobody is held for it."""
    shown, measured = round(raised.shown / 1e9, 1), round(raised.measured / 1e9, 1)
    return Figure(
        f"{measure.workload}, peak of this machine",
        shown,
        "Gflop/s",
        measured,
        "measured",
        str(raised),
    )


def _calls_figure(unit: UnitTime) -> Figure:
    bracket = unit.decision.bracket
    each = ", ".join(
        f"{call.function} {_span(call.mine)} (reference {_span(call.theirs)})"
        for call in unit.calls
    )
    note = f"{each}; {bracket.pairs} pairs, {bracket.lower:.2f} to {bracket.upper:.2f}"
    name = f"{_group(unit)} at {_size(unit)}, speed beside the reference"
    return Figure(name, bracket.median, "x", unit.bound.bound, "bound", note)


def _calls_verdict(unit: UnitTime) -> WorkloadVerdict:
    decision, slowest = unit.decision, unit.slowest
    share = (
        1.0 if decision.met else score(decision.bracket.median, unit.bound.floor, unit.bound.bound)
    )
    if decision.call is Call.UNDECIDED:
        what = f"{_group(unit)} at {_size(unit)}"
        message = (
            f"The machine was too noisy to time {what}: close what else is running and try again."
        )
        return WorkloadVerdict(Outcome.UNGRADED, 0.0, message)
    if decision.met:
        return WorkloadVerdict(Outcome.PASS, 1.0)
    times = f"{slowest.slowness:.0f}" if slowest.slowness >= 9.5 else f"{slowest.slowness:.1f}"
    spans = f"{_span(slowest.mine)} a call beside {_span(slowest.theirs)}"
    together = f" together, {_group(unit)}:" if len(unit.calls) > 1 else ""
    message = (
        f"{_named(slowest)} takes {times}x the reference at {_size(unit)} ({spans});{together} "
        f"{decision.bracket.median:.2f} of the reference's speed, the bound is {unit.bound.bound:g}."
    )
    return WorkloadVerdict(Outcome.FAIL, min(share, NEARLY), message)


def _named(call: CallTime) -> str:
    """A function by its name; calls that cannot be told apart by all of theirs, as one thing."""
    return f"`{call.function}`" if call.function.isidentifier() else f"The sum of {call.function}"


def _group(unit: UnitTime) -> str:
    """ "verify_typical", or "propose + compact"."""
    return " + ".join(call.function for call in unit.calls)


def _size(unit: UnitTime) -> str:
    return part_of(unit.bound.exercise).size.format(unit.size)


def _span(seconds: float) -> str:
    """ "0.4 µs", "31 µs", "12 ms"; what drowns in the cost of asking is told as less than could be
    seen."""
    if seconds <= NOTHING:
        return "too little to see"
    if seconds < 1e-5:
        return f"{seconds * 1e6:.1f} µs"
    return f"{seconds * 1e6:,.0f} µs" if seconds < 0.01 else f"{seconds * 1e3:,.0f} ms"


def _verdict(
    measure: Measure, bound: Bound, opponent: Opponent | None, decision: Decision
) -> WorkloadVerdict:
    bracket, label = (
        decision.bracket,
        "the reference engine" if opponent is None else opponent.label,
    )
    share = 1.0 if decision.met else score(bracket.median, bound.floor, bound.bound)
    measured = f"{bracket.median:.2f} times as fast as {label}"
    spread = f"{bracket.pairs} pairs, between {bracket.lower:.2f} and {bracket.upper:.2f}"
    if decision.review:
        message = (
            f"On {measure.workload!r} it was {measured}, more than this processor can do: held "
            "for a person to look at."
        )
        return WorkloadVerdict(Outcome.UNGRADED, 0.0, message)
    if decision.call is Call.UNDECIDED:
        message = (
            f"On {measure.workload!r} the machine was too noisy to decide ({measured}, {spread}): close what else is "
            "running and try again."
        )
        return WorkloadVerdict(Outcome.UNGRADED, 0.0, message)
    if decision.met:
        return WorkloadVerdict(Outcome.PASS, 1.0)
    message = (
        f"On {measure.workload!r} the engine with your part was {measured}; the bound is "
        f"{bound.bound:g} ({spread})."
    )
    return WorkloadVerdict(Outcome.FAIL, min(share, NEARLY), message)
