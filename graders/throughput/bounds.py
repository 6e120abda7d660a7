"""The bounds: which workload an exercise is timed on, against which engine, from which floor to
which bound.

They are read from `bounds.toml` beside this file, or from the file that `$COURSE_BOUNDS` names, or
from a `bounds.toml` in the workspace; a file of an instructor replaces the exercises and device
classes that it names and leaves the rest.
"""

from __future__ import annotations

import os
import tomllib
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from graders.engines.catalogue import CPU, CUDA, KINDS
from graders.registry.catalogue import exercises
from graders.registry.parts import Number, timed_calls
from graders.throughput import card_fields
from graders.workloads import FAMILIES, NAMES, PART_SIZES, drawable, speaks_waiter

SHIPPED = Path(__file__).with_name("bounds.toml")
VARIABLE = "COURSE_BOUNDS"
REFERENCE = "reference"
NEEDED = ("exercise", "workload", "against")
OPTIONAL = ("device", "scale", "model")


class BadBounds(Exception):
    """A bounds file that cannot be used; one sentence that names the file and what is wrong."""


@dataclass(frozen=True, slots=True)
class Bound:
    """Against one engine: no points at `floor` or below it, all of them at `bound`. Ratios of
    speeds."""

    engine: str
    floor: float
    bound: float


@dataclass(frozen=True, slots=True)
class Measure:
    """One timed workload of an exercise on a class of device, at a scale, against the engines in
    `bounds`.

    model: whose engine it is, a name of `reference_engine.model_loader.load_model`.
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


@dataclass(frozen=True, slots=True)
class PartBound:
    """On the calls of the part alone, beside the reference's: no points at `floor`, all of them at
    `bound`.

    unit: which calls, a group of `Part.calls`. size: rows of a batch, or requests. The two are
    ratios of speeds.
    """

    exercise: int
    unit: str
    size: int
    floor: float
    bound: float


def part_bounds(exercise: Number, *, beside: Path | None = None) -> tuple[PartBound, ...]:
    """How fast the calls of the exercise's part must be. beside: a folder that may hold a
    `bounds.toml`.

    A file of an instructor that names the exercise in [[part]] replaces them. Raises BadBounds.
    """
    for path in (*_instructors(beside), SHIPPED):
        found = tuple(bound for bound in read_parts(path) if bound.exercise == exercise)
        if found:
            return found
    return ()


def measures(
    exercise: Number, device: str = "cpu", *, beside: Path | None = None
) -> tuple[Measure, ...]:
    """What exercise `exercise` is timed on. beside: a folder that may hold a `bounds.toml`. Raises
    BadBounds."""
    for path in _instructors(beside):
        found = _of(read(path), exercise, device)
        if found:
            return found
    return _of(read(SHIPPED), exercise, device)


def whose(exercise: Number, *, beside: Path | None = None) -> str:
    """ "the bounds are those of FILE, not the course's"; empty when they are the course's. Raises
    BadBounds."""
    for path in _instructors(beside):
        numbers = [measure.exercise for measure in read(path)] + [
            bound.exercise for bound in read_parts(path)
        ]
        if exercise in numbers:
            return f"the bounds are those of {path}, not the course's"
    return ""


def read(path: Path) -> tuple[Measure, ...]:
    """Every [[measure]] of one file, all of which can be used. Raises BadBounds."""
    read_parts(path)
    rows = enumerate(_tables(path, "measure"), 1)
    return tuple(_measured(f"{path}, measure {number}", row, path.parent) for number, row in rows)


def read_parts(path: Path) -> tuple[PartBound, ...]:
    """Every [[part]] of one file. Raises BadBounds."""
    rows = enumerate(_tables(path, "part"), 1)
    return tuple(_part(f"{path}, part {number}", row) for number, row in rows)


def _tables(path: Path, name: str) -> list[object]:
    """The tables of that name in a file that can be used as a whole. Raises BadBounds."""
    try:
        data = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise BadBounds(f"{path} cannot be read: {error.strerror}.") from None
    except (ValueError, RecursionError) as error:
        raise BadBounds(f"{path} is not TOML: {_trouble(error)}.") from None
    if set(data) - {"measure", "part"} or not all(
        isinstance(tables, list) for tables in data.values()
    ):
        raise BadBounds(
            f"{path}: a bounds file is a list of [[measure]] and [[part]] tables and nothing else."
        )
    if not any(data.values()):
        raise BadBounds(
            f"{path} holds no [[measure]]: write one for each exercise whose bounds you set."
        )
    return list(data.get(name, []))


def _trouble(error: Exception) -> str:
    if isinstance(error, UnicodeDecodeError):
        return "it is no UTF-8 text"
    return (
        str(error)
        if isinstance(error, tomllib.TOMLDecodeError)
        else "a value in it is too long or nested too deeply"
    )


def _instructors(beside: Path | None) -> list[Path]:
    named = os.environ.get(VARIABLE)
    if named:
        return [Path(named)]
    near = beside / SHIPPED.name if beside is not None else None
    return [near] if near is not None and os.path.lexists(near) else []


def _of(found: tuple[Measure, ...], exercise: Number, device: str) -> tuple[Measure, ...]:
    return tuple(
        measure for measure in found if (measure.exercise, measure.device) == (exercise, device)
    )


def _measured(where: str, row: object, home: Path) -> Measure:
    """One entry of a file in the folder `home`. where: how sentences call it. Raises BadBounds."""
    try:
        data = card_fields.table("", row, NEEDED, OPTIONAL)
        measure = Measure(
            exercise=card_fields.whole(
                "exercise", data["exercise"], [each.number for each in exercises() if each.timed_in]
            ),
            device=card_fields.choice("device", data.get("device", CPU), (CPU, CUDA)),
            workload=card_fields.choice("workload", data["workload"], NAMES),
            scale=card_fields.number("scale", data.get("scale", 1.0)),
            bounds=_bounds(data["against"]),
            model=located(card_fields.text("model", data.get("model", "waiter")), home),
        )
    except card_fields.BadField as bad:
        raise BadBounds(f"{where}: {bad}.") from None
    try:
        drawable(measure.workload, model=measure.model, scale=measure.scale)
    except ValueError as error:
        raise BadBounds(f"{where}: {error}.") from None
    if FAMILIES[measure.workload].batch and not speaks_waiter(measure.model):
        raise BadBounds(
            f"{where}: nobody guesses for {measure.model}; {measure.workload} needs the waiter."
        )
    return measure


def _part(where: str, row: object) -> PartBound:
    try:
        data = card_fields.table("", row, ("exercise", "calls", "size", "floor", "bound"))
        exercise = card_fields.whole(
            "exercise", data["exercise"], [each.number for each in exercises() if each.calls]
        )
        unit = card_fields.choice("calls", data["calls"], tuple(timed_calls(exercise)))
        size = card_fields.whole("size", data["size"], PART_SIZES)
        pair = _bound("", {"floor": data["floor"], "bound": data["bound"]})
    except card_fields.BadField as bad:
        raise BadBounds(f"{where}: {bad}.") from None
    return PartBound(exercise, unit, size, pair.floor, pair.bound)


def located(model: str, home: Path) -> str:
    """A model by its name, or the whole path of a checkpoint folder that is named from the folder
    `home` on."""
    if model.partition("@")[0] == "waiter" or model.startswith("random:"):
        return model
    # a name that no folder can have, a home that nobody has
    with suppress(OSError, ValueError, RuntimeError):
        folder = home / Path(model).expanduser()
        return str(folder.resolve()) if folder.is_dir() else model
    return model


def _bounds(value: object) -> tuple[Bound, ...]:
    """Against each engine that is named. Raises BadField."""
    against = card_fields.table(
        "against", value, (REFERENCE,), [name for name in KINDS if name != REFERENCE]
    )
    return tuple(_bound(engine, pair) for engine, pair in against.items())


def _bound(engine: str, value: object) -> Bound:
    name = f"against.{engine}" if engine else "part"
    pair = card_fields.table(name, value, ("floor", "bound"))
    floor = card_fields.number(f"{name}.floor", pair["floor"], zero=True)
    bound = card_fields.number(f"{name}.bound", pair["bound"])
    if not floor < bound:
        raise card_fields.BadField(
            f"{name}.floor is {floor:g}; it must be below its bound, {bound:g}"
        )
    return Bound(engine, floor, bound)
