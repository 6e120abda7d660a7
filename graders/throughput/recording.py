"""How a baseline card comes about: an engine and our reference engine serve the same fresh traces
in turn."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from graders.engines import environments, launch_config
from graders.engines.catalogue import KINDS, EngineKind, unknown
from graders.engines.driver import Driver, EngineReport
from graders.engines.engine_protocol import EngineFailed, LaunchConfig, ServedTrace
from graders.engines.loaded import Checkpoint, checkpoint
from graders.engines.token_check import check_tokens
from graders.throughput.baselines import FEWEST, BaselineCard, Sample
from graders.throughput.decision import submission_first
from graders.throughput.engine_digest import engine_digest
from graders.throughput.hardware import here
from graders.workloads import Trace, workload
from reference_engine.model_loader import load_model

REFERENCE = "reference"
Say = Callable[[str], None]


class NotRecorded(Exception):
    """There is no card: one sentence says why."""


class Recorded(Protocol):
    """A driver, as far as recording uses it; `graders.engines.driver.Driver` is one."""

    def start(self) -> EngineReport: ...
    def serve(self, trace: Trace) -> ServedTrace: ...
    def flush(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def stop(self) -> None: ...


Make = Callable[[EngineKind, LaunchConfig], Recorded]


@dataclass(frozen=True, slots=True)
class RecordingRequest:
    """What to record: the engine, on which workload at which scale, with how many pairs."""

    engine: str
    workload: str
    scale: float = 1.0
    pairs: int = 11
    model: str = "waiter"
    seed: int | None = None


def record(
    order: RecordingRequest, *, say: Say = lambda _: None, make: Make | None = None
) -> BaselineCard:
    """Run it. Raises NotRecorded when the engine is not there, fails, or says what the model would
    not say.

    Raises ValueError for a workload that cannot be drawn, ModelError for a model that cannot be
    loaded. make: makes the drivers, where they are not the usual ones.
    """
    kind = KINDS.get(order.engine)
    if kind is None:
        raise NotRecorded(f"{unknown(order.engine)}.")
    there = environments.standing(kind)
    if make is None and not there.ready:
        raise NotRecorded(f"{order.engine} is {there.state}: {there.advice}.")
    if order.pairs < FEWEST:
        raise NotRecorded(f"a card needs {FEWEST} pairs at least.")
    with ExitStack() as stack:
        try:
            return _Recording(order, say, make or Driver, stack).card()
        except EngineFailed as failed:
            raise NotRecorded(f"{failed.sentence}.") from failed


class _Recording:
    """Two engines on their way through the pairs."""

    def __init__(self, order: RecordingRequest, say: Say, make: Make, stack: ExitStack) -> None:
        self._order, self._say = order, say
        self._first = (order.seed if order.seed is not None else random.randrange(10**6)) * 64
        self._model = load_model(order.model)
        given = stack.enter_context(checkpoint(self._model))
        samples = [self._trace(number) for number in range(order.pairs + 1)]
        largest = max(samples, key=lambda trace: (trace.longest, trace.kv_tokens))
        self._kind = KINDS[order.engine]
        self._engine = self._made(make, self._kind, given, largest, stack)
        self._reference = self._made(make, KINDS[REFERENCE], given, largest, stack)

    def card(self) -> BaselineCard:
        order, began = self._order, datetime.now(UTC).date().isoformat()
        started = [
            self._begin(order.engine, self._engine),
            self._begin("the reference engine", self._reference),
        ]
        self._say("warming up, and checking every token")
        for driver in (self._engine, self._reference):
            self._turn(driver, self._trace(order.pairs), warm=True)
        samples = tuple(self._pair(number) for number in range(order.pairs))
        hardware = here()
        return BaselineCard(
            engine=order.engine,
            version=started[0].version,
            flags=dict(started[0].flags),
            note=self._kind.notes.get(hardware.device, ""),
            model=order.model,
            workload=order.workload,
            scale=order.scale,
            samples=samples,
            hardware=hardware,
            reference=engine_digest(),
            verified=True,
            date=began,
            **started[0].loaded.as_json(),
        )

    def _made(
        self, make: Make, kind: EngineKind, given: Checkpoint, trace: Trace, stack: ExitStack
    ) -> Recorded:
        hardware = here()
        job = launch_config.job(
            kind,
            given,
            self._model,
            trace,
            threads=hardware.cores,
            engines=2,
            device=hardware.device,
        )
        driver = make(kind, job)
        stack.callback(driver.stop)
        return driver

    def _begin(self, name: str, driver: Recorded) -> EngineReport:
        self._say(f"starting {name}")
        started = driver.start()
        driver.pause()
        return started

    def _pair(self, number: int) -> Sample:
        self._say(f"pair {number + 1} of {self._order.pairs}")
        trace, seconds = self._trace(number), dict[str, float]()
        turns = [("engine", self._engine), ("reference", self._reference)]
        for name, driver in turns if submission_first(number) else reversed(turns):
            seconds[name] = self._turn(driver, trace)
        return Sample(
            self._first + number,
            trace.hash,
            round(seconds["engine"], 6),
            round(seconds["reference"], 6),
        )

    def _turn(self, driver: Recorded, trace: Trace, *, warm: bool = False) -> float:
        """Seconds of one turn; its tokens are held against the oracle's when the clock has stopped."""
        driver.resume()
        driver.flush()
        served = driver.serve(trace)
        if warm:
            driver.flush()
            served = driver.serve(trace)
        driver.pause()
        check_tokens(self._model, trace, served, self._kind)
        return served.seconds

    def _trace(self, number: int) -> Trace:
        order = self._order
        return workload(order.workload, self._first + number, model=order.model, scale=order.scale)
