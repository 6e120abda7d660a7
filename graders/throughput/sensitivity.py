"""Does a timed law see the part? The solutions, made slower and slower, and what the law says of
each.

    python -m graders.throughput.sensitivity [--exercises 1 4] [--factors 1 2 5 20]

Every function of the solution takes so many times as long as it did: what it took, spent again in a
loop, less what keeping the time costs. A table for each exercise: the speed in the engine and of
the calls alone, beside the reference's, and the points of 20.
"""

from __future__ import annotations

import argparse
import ast
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import solutions
from graders.grading import grade
from graders.registry.catalogue import Exercise, catalogue, exercises
from graders.result import ExerciseResult

FACTORS = (1.0, 2.0, 5.0, 20.0)
SLOWED = """


import functools as _functools
import time as _time

_within = []
_owed = [0.0]  # seconds that are still to be spent
_cost = [0.0]  # seconds that keeping the time costs a call


def _slowed(function):
    @_functools.wraps(function)
    def slow(*args, **keywords):
        if _within:
            return function(*args, **keywords)
        _within.append(0)
        began = _time.perf_counter()
        try:
            return function(*args, **keywords)
        finally:
            now = _time.perf_counter()
            _owed[0] += (now - began) * ({factor} - 1) - _cost[0]
            if _owed[0] > 2e-5:
                until = now + _owed[0]
                while now < until:
                    now = _time.perf_counter()
                _owed[0] = until - now
            _within.pop()

    return slow


def _least(function):
    # seconds of one of a thousand calls
    tries = []
    for _ in range(20):
        began = _time.perf_counter()
        for _ in range(1000):
            function()
        tries.append(_time.perf_counter() - began)
    return min(tries) / 1000


def _calibrate():
    nothing = lambda: None
    _cost[0] = 1.0  # so that nothing is owed meanwhile
    _cost[0] = max(_least(_slowed(nothing)) - _least(nothing), 0.0)
    _owed[0] = 0.0


_calibrate()


def _slow(value):
    if isinstance(value, property):
        return property(_slowed(value.fget))
    return _slowed(value)
"""
OF_A_CLASS = """
for _name, _value in list(vars({name}).items()):
    if callable(_value) or isinstance(_value, property):
        setattr({name}, _name, _slow(_value))
"""
Graded = Callable[[int, Path], ExerciseResult]


@dataclass(frozen=True, slots=True)
class Row:
    """A solution whose functions take `factor` times as long. speeds: by figure, beside the
    reference's."""

    factor: float
    points: float
    speeds: dict[str, float]


def slowed(entry: Exercise, factor: float) -> str:
    """The solution's source, each call of a public function or method `factor` times as slow."""
    source = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    if factor == 1:
        return source
    added = SLOWED.replace("{factor}", repr(factor))
    if entry.class_name:
        return source + added + OF_A_CLASS.replace("{name}", entry.class_name)
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    return (
        source
        + added
        + "\n"
        + "".join(f"{name} = _slow({name})\n" for name in names if name[0] != "_")
    )


def rows(exercise: int, factors: Sequence[float], judge: Graded) -> list[Row]:
    """What the exercise's timed law makes of its solution at each factor."""
    entry, found = catalogue(exercise), []
    for factor in factors:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, entry.file_name)
            path.write_text(slowed(entry, factor), encoding="utf-8")
            result = judge(exercise, path)
        speeds = {figure.name: figure.value for figure in result.figures}
        found.append(Row(factor, result.points, speeds))
    return found


def table(exercise: int, found: Sequence[Row]) -> str:
    """As text: a line for each speed, a column for each factor, the points last."""
    names = list(dict.fromkeys(name for row in found for name in row.speeds))
    lines = [[f"exercise {exercise}, times as slow", *(f"{row.factor:g}x" for row in found)]]
    for name in names:
        cells = [f"{row.speeds[name]:.2f}" if name in row.speeds else "-" for row in found]
        lines.append([name.replace(", speed beside the reference", ""), *cells])
    lines.append(["points of 20", *(f"{row.points:g}" for row in found)])
    width = max(len(line[0]) for line in lines)
    return "\n".join(
        line[0].ljust(width) + "".join(cell.rjust(8) for cell in line[1:]) for line in lines
    )


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m graders.throughput.sensitivity", description=__doc__
    )
    numbers = [entry.number for entry in exercises() if entry.timed_in]
    parser.add_argument("--exercises", type=int, nargs="+", choices=numbers, default=numbers)
    parser.add_argument("--factors", type=float, nargs="+", default=FACTORS)
    order = parser.parse_args(arguments)
    for exercise in order.exercises:
        print(table(exercise, rows(exercise, order.factors, _timed)), flush=True)
    return 0


def _timed(exercise: int, path: Path) -> ExerciseResult:
    return grade(exercise, path, only=[catalogue(exercise).laws[-1].number])


if __name__ == "__main__":
    sys.exit(main())
