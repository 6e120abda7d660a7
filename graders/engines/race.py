"""Engines side by side on one workload in one interleaved run.

Every engine is started once and gets the same checkpoint, KV memory, seats, cores and token ids;
prefix caches take part where the workload says so, and are flushed between laps. Correctness comes
first: an engine's first answers are replayed by the oracle before it is timed, and all timed
answers afterwards; a wrong one leaves the race. Each round draws fresh traces, the same for all,
and the order of the engines turns from round to round (A B, B A, …), so that what disturbs one
disturbs the others. One engine computes at a time; the others are stopped.
"""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial

import torch

from graders.engines import environments, launch_config
from graders.engines.catalogue import RACERS, EngineKind, device_class, unknown
from graders.engines.driver import Driver
from graders.engines.engine_protocol import EngineFailed, EngineFailure, LaunchConfig, ServedTrace
from graders.engines.loaded import BEST, DTYPE, HALF, INT8
from graders.engines.precision import EXACT, NARROW, PLAIN, Forms, Precision, precisions
from graders.engines.results import (
    BUSY,
    RaceEntry,
    RaceResults,
    RaceSample,
    RaceSetup,
    Result,
    percentiles,
)
from graders.engines.roofline import trace_work
from graders.engines.scenarios import AFTER, Scenario, dropped, of_lengths, scenarios
from graders.engines.token_check import check_tokens, tolerance
from graders.workloads import FAMILIES, Trace
from reference_engine import oracle
from reference_engine.arithmetic import Arithmetic
from reference_engine.ceilings import measure
from reference_engine.formats import Stored
from reference_engine.kv_dtype import KVDtype
from reference_engine.memory import refuse_copies_that_do_not_fit
from reference_engine.model import Model
from reference_engine.native.products import lacks
from reference_engine.processor import USUAL, features, model_name, processor
from reference_engine.roofline import Ceilings, Roof, Work

WARM = 100
"""Seeds of a race that are kept for warming up."""
KV_BYTES = {DTYPE: 4, HALF: 2, INT8: 2}
"""Of a key's or value's number, as small as some engine has it in such a race."""
STORED = {DTYPE: Stored.FP32, HALF: Stored.BF16, INT8: Stored.INT8}
SPEEDUP = {DTYPE: 1, HALF: 2, INT8: 4, BEST: 4}
"""A vector holds so many numbers for one fp32, and is multiplied as fast: nobody computes with them faster."""
MOST_REQUESTS = 100_000
"""Of one trace: more are a slip of the pen, and would take all memory before the first is served."""
Say = Callable[[str], None]
MakeDriver = Callable[[EngineKind, LaunchConfig], Driver]


@dataclass(frozen=True, slots=True)
class RacePlan:
    """What to race. engines: by name, the first is the measure of the others. rounds: that count.
    batches: of the decoding scenarios. apart: prompts alone too. lengths: in place of all that,
    prompts of so many tokens, a request alone each. threads: 0 takes every core. timeout: seconds
    for one trace. dtype: of the weights that all are given, one of DTYPES, and what they compute
    in; arithmetic, kv_dtype: see `Precision`. q8_0: of the model rounded to int8; engines without a
    format for it are given the same weights in float32. BEST: each engine has a lap in all that it
    has, and races in the quickest.
    """

    engines: tuple[str, ...]
    workload: str = "ragged"
    model: str = "waiter"
    rounds: int = 5
    batches: tuple[int, ...] = ()
    apart: bool = True
    lengths: tuple[int, ...] = ()
    seed: int = 0
    scale: float = 1.0
    threads: int = 0
    dtype: str = DTYPE
    arithmetic: str = EXACT
    kv_dtype: str = EXACT
    timeout: float = 300.0

    @property
    def asked(self) -> Precision:
        """Of our engine."""
        return Precision(self.dtype, self.arithmetic, self.kv_dtype)


@dataclass
class Racer:
    """One engine that has been started, its laps so far, and why it left, if it did. model: what it
    was given."""

    entrant: RaceEntry
    driver: Driver
    model: Model
    precision: Precision = PLAIN
    tokens_a_step: int = 1
    laps: dict[Scenario, list[RaceSample]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The engine's."""
        return self.entrant.engine

    def check(self, trace: Trace, served: ServedTrace) -> None:
        """Raises EngineFailed when its tokens are not the model's."""
        check_tokens(self.model, trace, served, self.driver.kind, self.entrant.dtype)

    def work(self, scenario: Scenario, trace: Trace) -> Work:
        """What a lap takes at least of an engine that holds what this one does."""
        least = partial(
            trace_work,
            config=self.model.config,
            tokens_a_step=self.tokens_a_step,
            stored=self.model.bytes_a_weight,
            width=min(KV_BYTES[self.precision.dtype], KVDtype(self.precision.kv_dtype).bytes),
        )
        return scenario.work(trace, least)

    def least(self, kv_tokens: int) -> int:
        """Bytes of its weights, as it stores them, and of so much KV."""
        config, ours = self.model.config, RACERS[self.name].exact
        stored = self.model.bytes_a_weight if ours else STORED[self.entrant.dtype].value
        numbers = 2 * config.layers * config.keys * kv_tokens
        kept = KVDtype(self.precision.kv_dtype).bytes if ours else KV_BYTES[self.precision.dtype]
        return int(stored * config.parameters) + numbers * kept

    def leave(self, failed: EngineFailed, say: Say) -> None:
        """It is out, and none of its figures count."""
        self.driver.stop()
        self.laps.clear()
        self.entrant = replace(self.entrant, failure=str(failed.failure), sentence=failed.sentence)
        say(f"{self.name} is out: {failed.sentence}")


def race(
    plan: RacePlan,
    *,
    say: Say = lambda line: None,
    warn: Say | None = None,
    make: MakeDriver | None = None,
) -> RaceResults:
    """Run it all. Raises ValueError for an unknown engine, workload or size, ModelError for the
    model.

    An interruption (KeyboardInterrupt) ends it with the rounds that are complete; before the first
    is, it is raised. say: told what happens, line by line. warn: told what makes the figures
    doubtful; None: `say`. make: makes the drivers, where they are not the usual ones.
    """
    warn = warn or say
    _refuse(plan)
    device, busy = device_class(), load()
    _announce(plan, device, busy, warn)
    stack = ExitStack()
    forms = Forms(plan.model, stack)
    model = forms.model(INT8 if plan.dtype == BEST else plan.dtype)
    refuse_copies_that_do_not_fit(
        plan.model, model.dtype.itemsize * model.config.parameters, len(set(plan.engines))
    )
    threads = plan.threads or len(os.sched_getaffinity(0))
    _refuse_lengths(plan, model)
    sample = _largest(plan)
    chosen = of_lengths(plan.lengths) or scenarios(sample, plan.batches, apart=plan.apart)
    _tell_dropped(() if plan.lengths else dropped(plan.batches, chosen), sample, warn)
    roof = _roof(model, plan.dtype, threads, device)
    course = _course(plan, sample, threads, device, busy)
    with stack:
        make = make or (lambda kind, job: Driver(kind, job, timeout=plan.timeout))
        run = _Race(plan, forms, course, roof, chosen, say, warn)
        entrants = list(run.enter(plan.engines, sample, make, stack))
        run.rounds()
        run.weigh()
    left = {racer.name: racer.entrant for racer in run.racers}
    ceilings = roof.ceilings
    course = replace(course, bandwidth=ceilings.bandwidth, peak=ceilings.peak, raised=roof.raised)
    course = replace(course, rounds=run.done) if run.interrupted else course
    return RaceResults(
        course,
        tuple(left.get(each.engine, each) for each in entrants),
        run.results(),
        interrupted=run.interrupted,
    )


def _refuse(plan: RacePlan) -> None:
    """Raises ValueError for what can be told to be wrong without a model."""
    for name in plan.engines:
        if name not in RACERS:
            raise ValueError(unknown(name))
    if not plan.engines or plan.rounds < 1:
        raise ValueError("a race needs an engine and a round")
    if lacking := lacks(Arithmetic(plan.arithmetic), device_class()):
        raise ValueError(lacking)
    if lacking := KVDtype(plan.kv_dtype).lacking(device_class()):
        raise ValueError(lacking)
    if plan.dtype not in (BEST, NARROW.get(plan.arithmetic, plan.dtype)):
        stored = NARROW[plan.arithmetic]
        raise ValueError(
            f"products in {plan.arithmetic} are for weights that are stored so: race in {stored}"
        )
    family = FAMILIES.get(plan.workload)
    if family is not None and family.requests * plan.scale > MOST_REQUESTS:
        most = MOST_REQUESTS / family.requests
        told = f"a scale of {plan.scale:g} asks for more than {MOST_REQUESTS:,} requests of {plan.workload}"
        raise ValueError(f"{told}; {most:,.0f} is the most")


def _refuse_lengths(plan: RacePlan, model: Model) -> None:
    """Raises ValueError for a prompt that the model cannot hold."""
    longest, room = max(plan.lengths, default=0), model.config.positions
    if plan.lengths and min(plan.lengths) < 1:
        raise ValueError("a prompt has a token at least")
    if longest + AFTER > room:
        told = f"{plan.model} holds {room:,} tokens"
        raise ValueError(f"{told}: no prompt of {longest:,} and the {AFTER} that are said after it")


def _announce(plan: RacePlan, device: str, busy: float, warn: Say) -> None:
    """What is known to be amiss before anything is started."""
    cores = len(os.sched_getaffinity(0))
    if plan.threads > cores:
        warn(
            f"{plan.threads} threads share {cores} usable core{'s' * (cores > 1)}: every engine will be slower for it"
        )
    if busy > BUSY:
        doubt = "ratios may be off; close what else is running and race again"
        warn(f"the machine is busy (load {busy:g} a core): {doubt}")
    for name in dict.fromkeys(plan.engines):
        there = environments.standing(RACERS[name], device)
        if not there.ready:
            warn(f"{name} is out: {_why_not(there)}")


def _tell_dropped(batches: Sequence[int], sample: Trace, warn: Say) -> None:
    if batches:
        listed = ", ".join(map(str, batches))
        room = f"{sample.max_seqs} seats and {sample.kv_tokens:,} tokens of KV"
        warn(f"no decoding at {listed}: this workload has {room}, too little for it")


def _why_not(there: environments.EnvironmentStatus) -> str:
    return f"{there.state}; {there.advice}"


class _Race:
    """The race under way."""

    def __init__(
        self,
        plan: RacePlan,
        forms: Forms,
        course: RaceSetup,
        roof: Roof,
        chosen: tuple[Scenario, ...],
        say: Say,
        warn: Say,
    ) -> None:
        self.racers: list[Racer] = []
        self._works = dict[tuple[Scenario, int, str], Work]()  # by scenario, round and engine
        self.done, self.interrupted = 0, False
        self._plan, self._forms, self._course, self._roof = plan, forms, course, roof
        self._scenarios, self._say, self._warn = chosen, say, warn
        self._field, self._measure = len(set(plan.engines)), plan.engines[0]

    @property
    def _running(self) -> list[Racer]:
        return [racer for racer in self.racers if not racer.entrant.failure]

    def enter(
        self, names: Sequence[str], sample: Trace, make: MakeDriver, stack: ExitStack
    ) -> Iterator[RaceEntry]:
        """Start the engines one after the other; those that do not start are entrants all the same."""
        for name in dict.fromkeys(names):
            kind, device = RACERS[name], self._course.device
            there = environments.standing(kind, device)
            if not there.ready:
                yield RaceEntry(
                    name, kind.what, failure=str(EngineFailure.ABSENT), sentence=_why_not(there)
                )
                continue
            ways = precisions(kind, self._plan.asked, device)
            ready = [self._racer(kind, way, sample, make, stack) for way in ways]
            racer = self._quickest(ready)
            self.racers.append(racer)
            yield racer.entrant

    def _racer(
        self, kind: EngineKind, way: Precision, sample: Trace, make: MakeDriver, stack: ExitStack
    ) -> Racer:
        """An engine that is not started yet."""
        device, model, given = (
            self._course.device,
            self._forms.model(way.dtype),
            self._forms.checkpoint(way.dtype),
        )
        if not way.exact:
            kind = replace(kind, exact=False, tie=oracle.NARROW_TIE)
        job = launch_config.job(
            kind,
            given,
            model,
            sample,
            threads=self._course.threads,
            engines=len(set(self._plan.engines)),
            device=device,
            arithmetic=way.arithmetic,
            kv_dtype=way.kv_dtype,
        )
        driver = make(kind, job)
        stack.callback(driver.stop)
        entrant = RaceEntry(kind.name, kind.what, note=_note(kind, way, device))
        return Racer(entrant, driver, model, way, launch_config.TOKENS_A_STEP[job.speculate])

    def _quickest(self, ready: Sequence[Racer]) -> Racer:
        """Of one engine in several precisions the quickest, started; the others are stopped."""
        if len(ready) == 1:
            self._start(ready[0])
            return ready[0]
        best, tried = ready[0], dict[str, float]()
        for racer in ready:
            seconds = self._qualify(racer)
            if not racer.entrant.failure:
                tried[str(racer.precision)] = seconds
                if best is racer or best.entrant.failure or seconds < tried[str(best.precision)]:
                    best = racer
        for racer in ready:
            if racer is not best:
                racer.driver.stop()
        best.entrant = replace(best.entrant, tried=tried)
        return best

    def _qualify(self, racer: Racer) -> float:
        """Start it; seconds of its best run of the workload, all tokens checked. It leaves where it
        cannot."""
        self._start(racer)
        if racer.entrant.failure:
            return math.inf
        try:
            racer.driver.resume()
            trace = self._trace(self._scenarios[0], -1)
            runs = list(racer.driver.warm_up(trace))
            racer.driver.pause()
            racer.check(trace, runs[0])
        except EngineFailed as failed:
            racer.leave(failed, self._warn)
            return math.inf
        return min(run.seconds for run in runs)

    def _start(self, racer: Racer) -> None:
        way = f" in {racer.precision}" if self._plan.dtype == BEST else ""
        self._say(f"starting {racer.name}{way}")
        try:
            told = racer.driver.start()
        except EngineFailed as failed:
            racer.leave(failed, self._warn)
            return
        racer.driver.pause()
        racer.entrant = replace(
            racer.entrant,
            version=told.version,
            flags=dict(told.flags),
            started=told.seconds,
            **told.loaded.as_json(),
        )

    def rounds(self) -> None:
        """Warm up, then every round; KeyboardInterrupt leaves the complete rounds, and is raised
        when none is."""
        try:
            self._look()
            self._warm_up()
            self._look()
            while self.done < self._plan.rounds and self._running:
                self._round(self.done)
                self._look()
        except KeyboardInterrupt:
            if not self.done:
                raise
            self.interrupted = True

    def _look(self) -> None:
        """Warn when ratios are to another engine than so far, or when one engine is left of
        several."""
        names = [racer.name for racer in self._running]
        if len(names) == 1 < self._field:
            self._warn(f"only {names[0]} is left: there is nothing to compare it with")
        elif names and names[0] != self._measure:
            self._warn(f"ratios are to {names[0]} now, as {self._measure} is out")
        self._measure, self._field = (names or [self._measure])[0], len(names)

    def _warm_up(self) -> None:
        """Correctness first, then every shape until two runs agree."""
        for racer in self._running:
            self._say(f"checking and warming up {racer.name}")
            try:
                racer.driver.resume()
                for number, scenario in enumerate(self._scenarios):
                    trace = self._trace(scenario, -1 - number)
                    runs = racer.driver.warm_up(trace)
                    racer.check(trace, next(runs))
                    for _ in runs:
                        continue
                racer.driver.pause()
            except EngineFailed as failed:
                racer.leave(failed, self._warn)

    def _round(self, number: int) -> None:
        """Every scenario once, every engine in turn; then all answers are verified."""
        for scenario in self._scenarios:
            trace = self._trace(scenario, number)
            served: list[tuple[Racer, int, ServedTrace]] = []
            for place, racer in enumerate(turns(self._running, number)):
                result = self._lap(racer, trace)
                if result is not None:
                    served.append((racer, place, result))
            for racer, place, result in served:
                if self._right(racer, trace, result):
                    for view in scenario.views:
                        self._count(racer, view, number, place, trace, result)
        self.done = number + 1
        self._say(f"round {self.done} of {self._plan.rounds} is over")

    def weigh(self) -> None:
        """Take note of the memory of those that are left, and of what they have to hold."""
        for racer in self._running:
            least = racer.least(self._course.kv_tokens)
            racer.entrant = replace(racer.entrant, memory=racer.driver.peak, least=least)

    def results(self) -> tuple[Result, ...]:
        """What counts, scenario by scenario: the laps of complete rounds, all under the roof as it
        is at the end."""
        return tuple(
            Result(racer.name, view.name, view.batch, tuple(self._final(racer, view)))
            for scenario in self._scenarios
            for view in scenario.views
            for racer in self._running
            if racer.laps.get(view)
        )

    def _final(self, racer: Racer, scenario: Scenario) -> Iterator[RaceSample]:
        for lap in racer.laps[scenario]:
            if lap.round < self.done:
                work = self._works[scenario, lap.round, racer.name]
                yield replace(lap, floor=self._roof.ceilings.seconds(work))

    def _trace(self, scenario: Scenario, number: int) -> Trace:
        return _trace(self._plan, scenario, number)

    def _lap(self, racer: Racer, trace: Trace) -> ServedTrace | None:
        try:
            racer.driver.resume()
            racer.driver.flush()
            served = racer.driver.serve(trace)
            racer.driver.pause()
        except EngineFailed as failed:
            racer.leave(failed, self._warn)
            return None
        return served

    def _right(self, racer: Racer, trace: Trace, served: ServedTrace) -> bool:
        try:
            racer.check(trace, served)
        except EngineFailed as failed:
            racer.leave(failed, self._warn)
            return False
        return True

    def _count(
        self,
        racer: Racer,
        scenario: Scenario,
        number: int,
        place: int,
        trace: Trace,
        served: ServedTrace,
    ) -> None:
        work = self._works[scenario, number, racer.name] = racer.work(scenario, trace)
        seconds, (read, said) = scenario.seconds(served), scenario.tokens(trace)
        self._roof.watch(work, seconds, racer.name)
        lap = RaceSample(
            number,
            place,
            trace.hash,
            seconds,
            served.cpu * seconds / served.seconds,
            read,
            said,
            percentiles(served.ttft),
            percentiles(served.tpot) if served.tpot else None,
            self._roof.ceilings.seconds(work),
        )
        racer.laps.setdefault(scenario, []).append(lap)


def _trace(plan: RacePlan, scenario: Scenario, number: int) -> Trace:
    """The trace of a round; rounds below 0 warm up."""
    return scenario.trace(
        plan.workload, plan.seed * 1000 + WARM + number, model=plan.model, scale=plan.scale
    )


def _largest(plan: RacePlan) -> Trace:
    """The one of all traces to come that needs the most room: engines are made for it."""
    if plan.lengths:
        return _trace(plan, of_lengths(plan.lengths)[-1], -1)
    warming = 2 + len(plan.batches)
    traces = [_trace(plan, Scenario("whole"), number) for number in range(-warming, plan.rounds)]
    return max(traces, key=lambda trace: (trace.longest, trace.kv_tokens))


def turns(racers: Sequence[Racer], number: int) -> list[Racer]:
    """Who goes first in a round: pairs of rounds are mirrored (A B, B A), and every pair starts one
    further on."""
    if not racers:
        return []
    start = number // 2 % len(racers)
    order = [*racers[start:], *racers[:start]]
    return order[::-1] if number % 2 else order


def _note(kind: EngineKind, way: Precision, device: str) -> str:
    """What has to be said beside an engine's figures."""
    dtype = way.dtype
    if kind.exact or (way.exact and dtype == DTYPE):
        return kind.notes.get(device, "")
    if dtype not in kind.dtypes:
        return f"it has no {dtype}: the same weights in {DTYPE}"
    return f"near-ties up to {tolerance(kind, dtype):g} are let pass"


def _roof(model: Model, dtype: str, threads: int, device: str) -> Roof:
    """Measured now; and again, with more effort, when an engine comes above it."""
    fp32 = device == "cpu" and dtype == DTYPE  # what is known of the processor's multipliers
    narrow = dtype != HALF or (device == "cpu" and not lacks(Arithmetic.BF16))

    def ceilings(effort: int = 1) -> Ceilings:
        found = measure(
            model.config, threads=threads, device=device, width=model.bytes_a_weight, effort=effort
        )
        return replace(found, peak=(SPEEDUP[dtype] if narrow else 1) * found.peak)

    return Roof(
        ceilings(), partial(ceilings, 2), limit=processor().theoretical_peak if fp32 else math.inf
    )


def _course(plan: RacePlan, sample: Trace, threads: int, device: str, busy: float) -> RaceSetup:
    return RaceSetup(
        workload=plan.workload,
        model=plan.model,
        seed=plan.seed,
        scale=plan.scale,
        rounds=plan.rounds,
        device=device,
        machine=machine(device),
        threads=threads,
        dtype=plan.dtype,
        kv_tokens=sample.kv_tokens,
        max_seqs=sample.max_seqs,
        prefix_cache=sample.cached,
        arriving=any(request.arrival for request in sample.requests),
        requests=len(sample.requests),
        bandwidth=0.0,
        peak=0.0,
        date=datetime.now(UTC).date().isoformat(),
        busy=busy,
    )


def load() -> float:
    """Runnable processes a core, over the last minute; 0 where the machine does not say."""
    try:
        return round(os.getloadavg()[0] / (os.cpu_count() or 1), 2)
    except OSError:
        return 0.0


def machine(device: str) -> str:
    """What computes, in words: of a processor also what engines choose their kernels by."""
    if device != "cpu":
        return torch.cuda.get_device_name() if torch.cuda.is_available() else device
    wider = [feature for feature in features() if feature != USUAL]
    return ", ".join([model_name() or platform.machine(), f"{os.cpu_count()} cores", *wider])
