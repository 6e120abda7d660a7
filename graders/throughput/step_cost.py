"""What steps of a timed engine cost around their passes, held against the reference's: read where
no part writes.

The engine's own Python runs in the part's process, so a part that exchanges it could make it cost
nothing. But most of a step is no work of the part's, and that costs every engine the same. So an
engine whose steps took less than the reference's for as many requests, with all that the part does
taken off, is charged as if they had taken so long.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepCost:
    """Of one pass: how many requests were in it, whether all of them only said something, seconds
    of the worker."""

    requests: int
    saying: bool
    seconds: float


def undercharged(mine: Sequence[StepCost], theirs: Sequence[StepCost], least: float) -> float:
    """Seconds by which steps came below what the reference's cost without its part; 0.0 for an
    honest one. least: the share of them that is no work of the part's
    (`graders.registry.parts.Part.around`).

    The first step of each, which follows the making of the engine, is left out."""
    times: dict[bool, dict[int, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    for step in theirs[1:]:
        times[step.saying][step.requests].append(step.seconds)
    usual = {
        saying: {count: statistics.median(each) for count, each in of.items()}
        for saying, of in times.items()
    }
    due = sum(_like(usual[step.saying], step.requests) for step in mine[1:])
    return max(0.0, least * due - sum(step.seconds for step in mine[1:]))


def _like(usual: dict[int, float], requests: int) -> float:
    """What the reference's steps of so many requests took, or of the next fewer that it had; 0.0 if
    it had none."""
    below = [count for count in usual if count <= requests]
    return usual[max(below)] if below else min(usual.values(), default=0.0)
