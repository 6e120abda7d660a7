"""The part under test among its fellows: a worker that holds all three parts of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graders.checking.check_context import CheckContext
from graders.checking.workers import Source, Workers

SLOTS = ("block_manager", "scheduler", "prefix_cache")


@contextmanager
def company(bench: CheckContext) -> Iterator[CheckContext]:
    """A bench whose workers hold the submission and, for the other slots, the parts that `bench.others` says.

    "naive" parts that are not loaded are filled in by the driver. Figures go to the bench given.
    """
    sources = [] if bench.others == "naive" else [source(bench, slot) for slot in SLOTS if slot != bench.exercise.slot]
    own = Source(bench.exercise.slot, bench.submission.name, bench.submission.source)
    workers = Workers([*sources, own], level=bench.worker.level, limits=bench.workers.limits)
    joined = dataclasses.replace(bench, workers=workers)
    try:
        yield joined
    finally:
        bench.cases = joined.cases
        workers.end()


def source(bench: CheckContext, slot: str) -> Source:
    """The course's own part for a slot, to be sent to a worker."""
    path: Path = bench.solution(slot)
    return Source(slot, path.name, path.read_text(encoding="utf-8"))
