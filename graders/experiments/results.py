"""What a lab has measured so far, as frozen records that can be written as JSON and read back.
Imports no torch."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from statistics import median

import msgspec

from graders.engines.results import BUSY, ENOUGH, RaceResults
from graders.throughput.hardware import Hardware

FORMAT = 1
SURE = 0.6
"""Chance that a median lies within its bracket, at least."""


class NoResults(Exception):
    """A file holds no results that count here: one sentence says why."""


@dataclass(frozen=True, slots=True)
class Measurement:
    """One point of an experiment.

    series: whose point it is, one side of the experiment. x: where on its axis. samples: what was
    measured, a round each; rounds of one experiment are pairs over its series. facts: exact counts
    and sizes that belong to the point. cores: processors in use meanwhile, 0: not known.
    """

    experiment: str
    series: str
    x: float
    samples: tuple[float, ...] = ()
    facts: Mapping[str, float] = field(default_factory=dict)
    cores: float = 0.0

    @property
    def value(self) -> float:
        """The median sample."""
        return median(self.samples)

    @property
    def starved(self) -> bool:
        """Others had the machine: times of this point do not count."""
        return 0 < self.cores < ENOUGH


@dataclass(frozen=True, slots=True)
class Finished:
    """What one task of a lab left. failures: what is missing of it, and why, in a sentence each."""

    measurements: tuple[Measurement, ...] = ()
    race: RaceResults | None = None
    failures: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class LabSetup:
    """What was asked for, and where it ran. models: the sizes of each, by its name; empty where it
    could not be had. busy: runnable processes a core when it began. date: when, in UTC.
    """

    lab: int
    quick: bool
    models: Mapping[str, Mapping[str, int]]
    engines: tuple[str, ...]
    threads: int
    seed: int
    hardware: Hardware
    versions: Mapping[str, str]
    date: str
    busy: float = 0.0

    def difference(self, other: LabSetup) -> str:
        """Why what was measured under `other` cannot be gone on with, in a phrase; "" when it can."""
        elsewhere = self.hardware.difference(other.hardware)
        if elsewhere:
            return f"it is from another machine: {elsewhere}"
        for name in ("lab", "quick", "models", "engines", "threads", "seed", "versions"):
            if getattr(self, name) != getattr(other, name):
                return f"it was begun with other {name}"
        return ""


@dataclass(frozen=True, slots=True)
class LabResults:
    """A lab, finished or on its way. tasks: the keys of all that belongs to it, in order."""

    setup: LabSetup
    tasks: tuple[str, ...]
    finished: Mapping[str, Finished] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def complete(self) -> bool:
        """Every task was tried to its end."""
        return all(key in self.finished for key in self.tasks)

    @property
    def failures(self) -> dict[str, str]:
        """What is missing, and why."""
        told = {name: why for each in self.finished.values() for name, why in each.failures.items()}
        races = [each.race for each in self.finished.values() if each.race]
        return told | {
            one.engine: one.sentence for race in races for one in race.entrants if one.failure
        }

    @property
    def busy(self) -> bool:
        """The machine had other work when the lab began."""
        return self.setup.busy > BUSY

    def of(self, experiment: str, series: str | None = None) -> tuple[Measurement, ...]:
        """The points of one experiment, of one series if it is named, from left to right."""
        every = [point for each in self.finished.values() for point in each.measurements]
        found = [
            each
            for each in every
            if each.experiment == experiment and series in (None, each.series)
        ]
        return tuple(sorted(found, key=lambda point: point.x))

    def at(self, experiment: str, series: str, x: float) -> Measurement | None:
        """One point."""
        return next((point for point in self.of(experiment, series) if point.x == x), None)

    def series(self, experiment: str) -> tuple[str, ...]:
        """Who has points in an experiment, in the order measured."""
        every = [point for each in self.finished.values() for point in each.measurements]
        return tuple(
            dict.fromkeys(point.series for point in every if point.experiment == experiment)
        )

    def race(self, key: str) -> RaceResults | None:
        """The race that a task ran, if it came to figures."""
        return self.finished[key].race if key in self.finished else None

    def but(self, key: str, done: Finished) -> LabResults:
        """The same with one task more."""
        return replace(self, finished={**self.finished, key: done})

    def as_json(self) -> str:
        """The text of a JSON document; `read` takes it back."""
        return msgspec.json.format(msgspec.json.encode(self), indent=1).decode() + "\n"


def read(text: str) -> LabResults:
    """The results that `as_json` wrote. Raises NoResults, in a clause, for anything else."""
    try:
        results = msgspec.json.decode(text, type=LabResults)
    except (msgspec.DecodeError, RecursionError) as error:
        raise NoResults(f"holds no results of a lab: {error}") from None
    if results.format != FORMAT:
        raise NoResults(f"is of format {results.format}; {FORMAT} is known")
    return results


def ratios(over: Measurement, under: Measurement) -> tuple[float, ...]:
    """Round by round, the samples of one point over those of another."""
    return tuple(top / bottom for top, bottom in zip(over.samples, under.samples, strict=False))


def middle(values: Sequence[float]) -> float:
    """One of the values: the median, of an even number the upper one."""
    return sorted(values)[len(values) // 2]


def bracket(values: Sequence[float]) -> tuple[float, float]:
    """Between which two values the true median lies, with a chance of `SURE` at least; all of them
    if they are too few.

    So many of n lie on one side of the median as heads fall in n throws.
    """
    ordered, beyond, chance = sorted(values), 0, 1.0
    for dropped in range(len(ordered) // 2):
        chance -= 2 * math.comb(len(ordered), dropped) / 2 ** len(ordered)
        if chance < SURE:
            break
        beyond = dropped
    return ordered[beyond], ordered[-1 - beyond]
