"""The bounds: which workload an exercise is timed on, against which engine, from which floor to which bound.

They are read from `bounds.toml` beside this file, or from the file that `$COURSE_BOUNDS` names, or from a `bounds.toml`
in the workspace; a file of an instructor replaces the exercises and device classes that it names and leaves the rest.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders.throughput.workloads import NAMES

SHIPPED = Path(__file__).with_name("bounds.toml")
VARIABLE = "COURSE_BOUNDS"
REFERENCE = "reference"
FIELDS = {"exercise", "device", "workload", "scale", "model", "against"}


class BadBounds(Exception):
    """A bounds file that cannot be used; one sentence that names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Against one engine: no points at `floor` or below it, all of them at `bound`. Ratios of speeds."""

    engine: str
    floor: float
    bound: float


@dataclass(frozen=True, slots=True)
class Measure:
    """One timed workload of an exercise on a class of device, at a scale, against the engines in `bounds`.

    model: whose engine it is, a name of `reference_engine.model.load_model`.
    """

    exercise: int
    device: str
    workload: str
    scale: float
    bounds: tuple[Bound, ...]
    model: str = "waiter"

    def against(self, engine: str) -> Bound | None:
        """The bound against this engine, or None."""
        return next((bound for bound in self.bounds if bound.engine == engine), None)


def measures(exercise: int, device: str = "cpu", *, beside: Path | None = None) -> tuple[Measure, ...]:
    """What exercise `exercise` is timed on. beside: a folder that may hold a `bounds.toml`. Raises BadBounds."""
    for path in _instructors(beside):
        found = _of(read(path), exercise, device)
        if found:
            return found
    return _of(read(SHIPPED), exercise, device)


def read(path: Path) -> tuple[Measure, ...]:
    """Everything in one file. Raises BadBounds."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadBounds(f"{path} cannot be read: {error.strerror}.") from None
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise BadBounds(f"{path} is not TOML: {error}.") from None
    rows = data.get("measure")
    if set(data) - {"measure"} or not isinstance(rows, list):
        raise BadBounds(f"{path}: a bounds file is a list of [[measure]] tables and nothing else.")
    return tuple(_test(path, number, row) for number, row in enumerate(rows, 1))


def _instructors(beside: Path | None) -> list[Path]:
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(named)]
    near = beside / SHIPPED.name if beside is not None else None
    return [near] if near is not None and near.is_file() else []


def _of(found: tuple[Measure, ...], exercise: int, device: str) -> tuple[Measure, ...]:
    return tuple(measure for measure in found if (measure.exercise, measure.device) == (exercise, device))


def _test(path: Path, number: int, row: Mapping[str, Any]) -> Measure:
    where = f"{path}, measure {number}"
    unknown = set(row) - FIELDS
    if unknown:
        raise BadBounds(f"{where}: nobody knows {', '.join(sorted(unknown))}; use {', '.join(sorted(FIELDS))}.")
    try:
        name, against = row["workload"], row["against"]
        if name not in NAMES:
            raise BadBounds(f"{where}: no workload is called {name!r}; choose one of {', '.join(NAMES)}.")
        bounds = tuple(_bound(where, engine, table) for engine, table in against.items())
        model, scale = str(row.get("model", "waiter")), float(row.get("scale", 1.0))
        measure = Measure(int(row["exercise"]), str(row.get("device", "cpu")), name, scale, bounds, model)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BadBounds(f"{where}: a measure needs exercise, workload and against ({error!r}).") from None
    if measure.scale <= 0 or measure.against(REFERENCE) is None:
        raise BadBounds(f"{where}: it needs a scale above 0 and a bound against {REFERENCE!r}.")
    return measure


def _bound(where: str, engine: str, table: Mapping[str, Any]) -> Bound:
    bound = Bound(engine, float(table["floor"]), float(table["bound"]))
    if set(table) != {"floor", "bound"} or not 0 <= bound.floor < bound.bound:
        raise BadBounds(f"{where}: against {engine} a floor and a higher bound are needed, and nothing else.")
    return bound
