"""A race of whole engines as a task of a lab, with the memory of each."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from graders.engines.catalogue import EngineKind
from graders.engines.driver import Driver
from graders.engines.engine_protocol import LaunchConfig, ServedTrace
from graders.engines.race import RacePlan, race
from graders.experiments.results import Finished, Measurement
from graders.experiments.session import Task
from graders.experiments.workbench import LabPlan, Say
from graders.workloads import Trace

OURS = ("reference", "naive")
"""Those that every installation has."""


class WeighedDriver(Driver):
    """A driver that notes how much memory its engine held at most. peak: bytes, all its processes
    together."""

    peak = 0

    def serve(self, trace: Trace, limit: float | None = None) -> ServedTrace:
        """See `Driver`."""
        served = super().serve(trace, limit)
        if self._process is not None:
            self.peak = max(self.peak, peak_memory(self._process.pid))
        return served


def peak_memory(group: int) -> int:
    """Bytes that the processes of a group had in memory at most; 0 where there is no /proc."""
    total = 0
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError, ValueError, ProcessLookupError):
            if os.getpgid(int(process.name)) == group:
                lines = (process / "status").read_text().splitlines()
                total += sum(
                    1024 * int(line.split()[1]) for line in lines if line.startswith("VmHWM:")
                )
    return total


def task(
    plan: LabPlan,
    key: str,
    *,
    workload: str = "ragged",
    batches: tuple[int, ...] = (),
    apart: bool = True,
    cache: bool = True,
) -> Task:
    """All engines of the plan side by side, ours first. cache: False switches their prefix caches
    off."""
    engines = tuple(dict.fromkeys(("reference", *plan.engines))) if plan.engines else OURS
    course = RacePlan(
        engines,
        workload,
        rounds=2 if plan.quick else 3,
        batches=batches,
        apart=apart,
        seed=plan.seed,
        scale=0.25 if plan.quick else 1.0,
        threads=plan.threads,
    )
    off = "" if cache else ", their prefix caches off"
    return Task(
        key, f"{', '.join(engines)} side by side{off}", lambda: _run(course, cache, plan.say)
    )


def _run(course: RacePlan, cache: bool, say: Say) -> Finished:
    """KeyboardInterrupt when it was interrupted: half a race is none."""
    drivers = dict[str, WeighedDriver]()
    results = race(
        course, say=lambda line: say(f"  {line}"), make=_maker(drivers, course.timeout, cache)
    )
    if results.interrupted:
        raise KeyboardInterrupt
    there = {result.engine for result in results.results}
    weighed = [
        Measurement("memory", name, 0.0, (float(each.peak),))
        for name, each in drivers.items()
        if name in there
    ]
    return Finished(tuple(weighed), results)


def _maker(
    drivers: dict[str, WeighedDriver], timeout: float, cache: bool
) -> Callable[[EngineKind, LaunchConfig], Driver]:
    def make(kind: EngineKind, job: LaunchConfig) -> Driver:
        asked = job if cache else replace(job, prefix_cache=False)
        drivers[kind.name] = WeighedDriver(kind, asked, timeout=timeout)
        return drivers[kind.name]

    return make
