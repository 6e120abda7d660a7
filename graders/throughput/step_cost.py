"""What steps of a timed engine cost around their passes, held against the reference's: read where no part writes.

The engine's own Python runs in the part's process, so a part that exchanges it could make it cost nothing. But most
of a step is no work of the part's, and that costs every engine the same. So an engine whose steps took less than the
reference's for as many requests, with all that the part does taken off, is charged as if they had taken so long.
"""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

LEAST = {"block_manager": 0.8, "scheduler": 0.7, "prefix_cache": 0.65, "medusa": 0.6}
"""Of a step around its pass, by the slot of the part: less than is left of it with a part that costs nothing. The
reference's parts of exercises 1 to 3 are 3, 11 and 17 % of it; that of 4, with what it calls in torch, is estimated at
30 %."""
ANY = 0.5
"""Of a step with another part."""


@dataclass(frozen=True, slots=True)
class StepCost:
    """Of one pass: how many requests were in it, whether all of them only said something, seconds of the worker."""

    requests: int
    saying: bool
    seconds: float


def undercharged(mine: Sequence[StepCost], theirs: Sequence[StepCost], slot: str) -> float:
    """Seconds by which steps came below what the reference's cost without the part in `slot`; 0.0 for an honest one.

    The first step of each, which follows the making of the engine, is left out."""
    times: dict[bool, dict[int, list[float]]] = {True: defaultdict(list), False: defaultdict(list)}
    for step in theirs[1:]:
        times[step.saying][step.requests].append(step.seconds)
    least = {saying: {count: statistics.median(each) for count, each in of.items()} for saying, of in times.items()}
    due = sum(_like(least[step.saying], step.requests) for step in mine[1:])
    return max(0.0, LEAST.get(slot, ANY) * due - sum(step.seconds for step in mine[1:]))


def _like(least: dict[int, float], requests: int) -> float:
    """What the reference's steps of so many requests took, or of the next fewer that it had; 0.0 if it had none."""
    below = [count for count in least if count <= requests]
    return least[max(below)] if below else min(least.values(), default=0.0)
