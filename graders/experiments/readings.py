"""What can be read off the results of a lab: floors, gaps, the batch from which on guessing loses.
No torch."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from itertools import pairwise

from graders.experiments.drafters import DRAFTERS
from graders.experiments.results import LabResults, Measurement, bracket, middle, ratios
from reference_engine.guessers import PLAIN
from reference_engine.roofline import Ceilings, Work


def ceilings(results: LabResults, model: str) -> Ceilings | None:
    """The highest of all that were measured, or shown, for a model; None when there are none."""
    found = [point.facts for point in results.of("ceilings", model)]
    if not found:
        return None
    return Ceilings(max(each["peak"] for each in found), max(each["bandwidth"] for each in found))


def floor(results: LabResults, point: Measurement) -> float:
    """The least seconds that the work of a point of lab 1 takes on its machine; 0 where no ceilings
    are known."""
    over = ceilings(results, point.series)
    if over is None or "operations" not in point.facts:
        return 0.0
    return over.seconds(Work(point.facts["operations"], point.facts["moved"]))


def gaps(results: LabResults) -> Iterator[str]:
    """What lies between floor and measurement, named: overhead and noise."""
    for experiment, what in (("prefill", "a prompt of {:.0f}"), ("decode", "a step of {:.0f}")):
        for model in results.series(experiment):
            points = results.of(experiment, model)
            for point in (points[0], points[-1]):
                yield f"{model}, {what.format(point.x)}: {_gap(point, floor(results, point))}"


def _gap(point: Measurement, least: float) -> str:
    low, high = bracket(point.samples)
    noise = f"noise {1e3 * (high - low):.2f} ms"
    if not least:
        return f"{1e3 * point.value:.2f} ms, {noise}"
    over = f"floor {1e3 * least:.2f} ms + overhead {1e3 * (point.value - least):.2f} ms"
    return (
        f"{1e3 * point.value:.2f} ms = {over}, {noise}; {point.value / least:.1f} times the floor"
    )


def speed_ups(results: LabResults, model: str) -> dict[str, tuple[tuple[float, float], ...]]:
    """Of every drafter (batch, times as fast as plain decoding), medians over the rounds."""
    plain = {point.x: point for point in results.of(f"speed:{model}", PLAIN)}
    found = dict[str, tuple[tuple[float, float], ...]]()
    for name in DRAFTERS:
        points = [
            point
            for point in results.of(f"speed:{model}", name)
            if name != PLAIN and point.x in plain
        ]
        if points:
            found[name] = tuple(
                (point.x, middle(ratios(point, plain[point.x]))) for point in points
            )
    return found


def break_even(points: Sequence[tuple[float, float]]) -> float | None:
    """The batch at which a speed-up falls below 1, between those measured; None when it does not."""
    for (before, gain), (after, loss) in pairwise(points):
        if gain > 1 >= loss:
            share = (gain - 1) / (gain - loss)
            return float(before * math.exp(share * math.log(after / before)))
    return None
