"""The exercises and their laws, without anything heavy: `course list` and `course hint` import only
this."""

from __future__ import annotations

import dataclasses
import importlib
from dataclasses import dataclass
from functools import cache

from graders.registry import parts
from graders.registry.law import Law


@dataclass(frozen=True, slots=True)
class Exercise(parts.Part):
    """One exercise: what the learner writes, and its laws."""

    laws: tuple[Law, ...] = ()

    @property
    def points(self) -> float:
        return sum(law.points for law in self.laws)

    def law(self, number: str) -> Law:
        """The law numbered "1.4"; KeyError if there is none."""
        return {law.number: law for law in self.laws}[number]


@cache
def catalogue(exercise: parts.Number) -> Exercise:
    """The exercise with its laws, in order. KeyError for a number that no exercise has."""
    entry = parts.part_of(exercise)
    name = f"graders.exercises.{entry.slug}.laws"
    try:
        laws = tuple(importlib.import_module(name).LAWS)
    except ModuleNotFoundError as missing:
        if missing.name not in (name, f"graders.exercises.{entry.slug}"):
            raise
        laws = ()
    return Exercise(**dataclasses.asdict(entry), laws=laws)


def exercises() -> tuple[Exercise, ...]:
    """Every exercise, in order."""
    return tuple(catalogue(entry.number) for entry in parts.PARTS)
