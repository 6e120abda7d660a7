"""The exercises and their laws, without anything heavy: `course list` and `course hint` import only this."""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from functools import cache

from graders.law import Law


@dataclass(frozen=True, slots=True)
class Exercise:
    """One exercise: which file the learner writes, which slot of the engine it fills, and its laws.

    slug: folder name under exercises/ and solutions/. class_name: the class the file must define; empty when the part
    is a module of functions (exercise 4).
    """

    number: int
    name: str
    slug: str
    slot: str
    file_name: str
    class_name: str
    laws: tuple[Law, ...] = ()

    @property
    def points(self) -> float:
        return sum(law.points for law in self.laws)

    def law(self, number: str) -> Law:
        """The law numbered "1.4"; KeyError if there is none."""
        return {law.number: law for law in self.laws}[number]


_EXERCISES = (
    Exercise(1, "paged allocation", "ex1_paged_allocation", "block_manager", "block_manager.py", "BlockManager"),
    Exercise(2, "continuous batching", "ex2_batching_scheduler", "scheduler", "scheduler.py", "Scheduler"),
    Exercise(3, "prefix cache", "ex3_prefix_cache", "prefix_cache", "prefix_cache.py", "PrefixCache"),
    Exercise(4, "Medusa verification", "ex4_medusa", "medusa", "medusa.py", ""),
)


@cache
def catalogue(exercise: int) -> Exercise:
    """The exercise with its laws, in order. KeyError for a number that no exercise has."""
    entry = {entry.number: entry for entry in _EXERCISES}[exercise]
    name = f"graders.{entry.slug}.laws"
    try:
        laws = tuple(importlib.import_module(name).LAWS)
    except ModuleNotFoundError as missing:
        if missing.name not in (name, f"graders.{entry.slug}"):
            raise
        laws = ()
    return Exercise(entry.number, entry.name, entry.slug, entry.slot, entry.file_name, entry.class_name, laws)


def exercises() -> tuple[Exercise, ...]:
    """Every exercise, in order."""
    return tuple(catalogue(entry.number) for entry in _EXERCISES)
