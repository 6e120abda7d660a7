"""The wrong parts of an exercise, from tests/mutants, and the right ones (form:
`course.authoring.mutant_files`).

A wrong part is written to a file by the test that judges it.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path

import pytest

from course.authoring.mutant_files import Mutant, base_files, mutants
from graders import grade
from graders.registry.catalogue import catalogue
from graders.registry.parts import Number
from graders.result import LawResult

CLONE = Path(__file__).parents[1].parent
OF_A_LAW = 4
"""So many wrong parts of a law are judged by `make test`; all are by `make test-long` and `course mutants`."""


def wrong_parts(exercise: Number) -> list[Mutant]:
    return mutants(catalogue(exercise), CLONE)


def sampled(parts: list[Mutant], of_a_law: int = OF_A_LAW) -> list[object]:
    """The same parts in their order; beyond so many of each first law, chosen by their names, they
    are slow."""
    seen: Counter[tuple[Number, str]] = Counter()
    quick = set()
    for part in sorted(parts, key=lambda part: hashlib.sha256(part.name.encode()).digest()):
        seen[part.exercise, part.laws[0]] += 1
        if seen[part.exercise, part.laws[0]] <= of_a_law:
            quick.add(part.name)
    return [
        part if part.name in quick else pytest.param(part, marks=pytest.mark.slow) for part in parts
    ]


def some(paths: list[Path], count: int = 8) -> list[object]:
    """The same parts; all but `count`, chosen by their names, are slow."""
    quick = sorted(paths, key=lambda path: hashlib.sha256(path.stem.encode()).digest())[:count]
    return [path if path in quick else pytest.param(path, marks=pytest.mark.slow) for path in paths]


def wrong_part(exercise: Number, name: str) -> Mutant:
    return {part.name: part for part in wrong_parts(exercise)}[name]


def right_parts(exercise: Number) -> list[Path]:
    return base_files(catalogue(exercise), CLONE)


def numbers(part: Mutant) -> list[str]:
    """The laws that a wrong part names."""
    return [
        law.number
        for name in part.laws
        for law in catalogue(part.exercise).laws
        if law.name == name
    ]


def first_broken(
    path: Path, exercise: int, *, only: list[str] | None = None, seed: int = 1
) -> LawResult | None:
    """The first law that the part breaks, in order; None when it keeps them all."""

    class Enough(Exception):
        pass

    broken: list[LawResult] = []

    def on_law(result: LawResult) -> None:
        if result.outcome.failed:
            broken.append(result)
            raise Enough

    try:
        grade(exercise, path, seed=seed, only=only, on_law=on_law)
    except Enough:
        return broken[0]
    return None
