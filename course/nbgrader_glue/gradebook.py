"""Verdicts of a batch written straight into nbgrader's gradebook: one process, one writer, a few milliseconds each.

The same is left behind as by `nbgrader autograde`: scores, flags, late penalties, and the autograded notebooks that
the formgrader and the feedback are made of. Manual scores stay and win. Writing the same rows again changes nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course.nbgrader_glue.feedback import Ungraded
from course.problem import Problem
from course.screen import shorten

if TYPE_CHECKING:
    from graders.reports.row import Row

PATIENCE = 30  # seconds to wait for a gradebook that somebody else is writing
LONGEST_NAME = 200


@dataclass(frozen=True, slots=True)
class Refused:
    """A row that was not written, and why."""

    student: str
    exercise: int
    reason: str


@dataclass(frozen=True, slots=True)
class Committed:
    """What became of the rows."""

    written: int
    refused: tuple[Refused, ...]


def commit(course: Path, rows: Iterable[Row]) -> Committed:
    """Write the rows into the gradebook of the nbgrader course in the folder `course`.

    A row without a verdict takes an older automatic score back and is refused, as is one that belongs to no released
    assignment. Raises `Problem` when there is no such course, or its gradebook cannot be read or written at all.
    """
    _need_nbgrader()
    from course.nbgrader_glue.clerk import Clerk
    from course.nbgrader_glue.settings import settings

    written, refused = 0, []
    with _reported(course), Clerk(settings(course)) as clerk:
        for row in rows:
            try:
                check_name(row.student)
                clerk.enter(row)
                written += 1
            except (Ungraded, Refusal) as reason:
                refused.append(Refused(row.student, row.exercise, str(reason)))
    return Committed(written, tuple(refused))


class Refusal(Exception):
    """The row is refused and the gradebook left as it is."""


class BadName(Refusal):
    """A student's name that cannot be the name of a folder."""


def check_name(student: str) -> None:
    """Raises `BadName` for a name under which nbgrader cannot keep a folder."""
    if not student.strip() or student.strip() != student or student.startswith("."):
        raise BadName(f"{student!r} cannot be a student's name: it is empty, or begins or ends oddly.")
    if len(os.fsencode(student)) > LONGEST_NAME or any(mark in student for mark in "/\\\0\n\r*?["):
        raise BadName(f"{shorten(repr(student), 80)} cannot be a student's name: no folder can be called so.")


def _need_nbgrader() -> None:
    try:
        import nbgrader.api  # noqa: F401
    except ImportError:
        raise Problem("nbgrader is not installed; pip install 'inference-kitchen[nbgrader]' brings it.") from None


@contextlib.contextmanager
def _reported(course: Path) -> Iterator[None]:
    """Database trouble as one sentence."""
    from nbgrader.api import InvalidEntry
    from sqlalchemy.exc import DatabaseError, OperationalError

    try:
        yield
    except (OperationalError, InvalidEntry) as trouble:
        raise Problem(
            f"the gradebook of {course} cannot be written ({_cause(trouble)}); the verdicts are kept."
        ) from None
    except DatabaseError as trouble:
        raise Problem(f"the gradebook of {course} is no database any more ({_cause(trouble)}); restore it.") from None
    except OSError as trouble:
        raise Problem(f"{trouble.filename or course} cannot be written: {trouble.strerror}.") from None


def _cause(trouble: Any) -> str:
    return str(getattr(trouble, "orig", trouble)).splitlines()[0]
