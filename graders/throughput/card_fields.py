"""Values in files that anybody may have edited: each is what it must be, or a phrase says which one
is not."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

LONGEST = 60  # characters of a value that a phrase shows


class BadField(Exception):
    """A phrase that names a field, shows its value and says what it must be."""


def table(
    name: str, value: object, needed: Iterable[str], optional: Iterable[str] = ()
) -> Mapping[str, Any]:
    """A table with these fields and no others; an empty name is that of the file's own table."""
    if not isinstance(value, dict):
        raise wrong(name, value, "a table")
    lacking = [each for each in needed if each not in value]
    if lacking:
        raise BadField(f"{name or 'it'} lacks {', '.join(lacking)}")
    known = [*needed, *optional]
    unknown = [each for each in value if each not in known]
    if unknown:
        raise BadField(
            f"{f'in {name} ' if name else ''}nobody knows {', '.join(unknown)}; use {', '.join(known)}"
        )
    return value


def rows(name: str, value: object) -> Sequence[Any]:
    """A list with something in it."""
    if not isinstance(value, list) or not value:
        raise wrong(name, value, "a list with something in it")
    return value


def text(name: str, value: object) -> str:
    if not isinstance(value, str):
        raise wrong(name, value, "a text")
    return value


def choice(name: str, value: object, choices: Sequence[str]) -> str:
    """One of these texts."""
    if not isinstance(value, str) or value not in choices:
        raise wrong(name, value, f"one of {', '.join(choices)}")
    return value


def truth(name: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise wrong(name, value, "true or false")
    return value


def whole(name: str, value: object, among: Collection[object] | None = None) -> int:
    """A whole number; one of `among`, where that is given."""
    if (
        isinstance(value, bool)
        or not isinstance(value, int)
        or (among is not None and value not in among)
    ):
        choices = f"one of {', '.join(map(str, among))}" if among is not None else "a whole number"
        raise wrong(name, value, choices)
    return value


def number(name: str, value: object, *, zero: bool = False) -> float:
    """A finite number above 0, or 0 where `zero` allows it."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            given = float(value)
        except OverflowError:
            given = math.inf
        if math.isfinite(given) and (given > 0 or (zero and given == 0)):
            return given
    raise wrong(name, value, f"a finite number{', 0 or above' if zero else ' above 0'}")


def wrong(name: str, value: object, right: str) -> BadField:
    """The phrase for a value that is not what it must be."""
    return BadField(f"{name or 'it'} is {shown(value)}; it must be {right}")


def shown(value: object) -> str:
    """The value as a file would say it, cut when it is long."""
    if isinstance(value, float) and not math.isfinite(value):
        said = str(value)
    else:
        try:
            said = json.dumps(value, ensure_ascii=False, default=str)
        except (ValueError, RecursionError):  # a number of thousands of digits
            said = "far too long"
    return said if len(said) <= LONGEST else f"{said[: LONGEST - 1]}…"
