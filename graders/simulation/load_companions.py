"""The part under test among its fellows: a worker that holds all three parts of the engine."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from graders.checking.check_context import CheckContext
from graders.checking.workers import Source, Workers
from graders.registry.parts import simulated


@contextmanager
def company(context: CheckContext, *besides: str) -> Iterator[CheckContext]:
    """A context whose workers hold the submission and, for the other slots, the parts that
    `context.others` says.

    besides: slots that are filled too, though the engine without a model has none of them. "naive"
    parts that are not loaded are filled in by the driver. Figures go to the context given.
    """
    others = [] if context.others == "naive" else [part.slot for part in simulated()]
    sources = [
        source(context, slot) for slot in (*others, *besides) if slot != context.exercise.slot
    ]
    own = Source.of(context.exercise.slot, context.submission)
    first = context.ahead.take() if context.ahead is not None else None
    level, limits = context.worker.level, context.workers.limits
    workers = Workers(
        [*sources, own], level=level, limits=limits, first=first, allowance=context.allowance
    )
    joined = dataclasses.replace(context, workers=workers)
    try:
        yield joined
    finally:
        context.cases = joined.cases
        workers.end()


def source(context: CheckContext, slot: str) -> Source:
    """The course's own part for a slot, to be sent to a worker."""
    path: Path = context.solution(slot)
    return Source(
        slot, path.name, path.read_text(encoding="utf-8"), secret=context.others == "solutions"
    )
