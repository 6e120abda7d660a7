"""Verdicts of a batch written straight into nbgrader's gradebook: one process, one writer, a few
milliseconds each.

The same is left behind as by `nbgrader autograde`: scores, flags, late penalties, and the
autograded notebooks that the formgrader and the feedback are made of. Manual scores stay and win.
Writing the same rows again changes nothing.
"""

from __future__ import annotations

import contextlib
import importlib.util
import logging
import os
import re
import sys
import threading
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, cast

from course.errors import ExitCode, Problem
from course.nbgrader_glue.feedback import Advisory, Ungraded
from course.nbgrader_glue.settings import configuration, settings
from course.terminal import shorten
from graders.registry.catalogue import exercises

if TYPE_CHECKING:
    from graders.registry.parts import Number
    from graders.reports.row import Row

LONGEST_NAME = 200
# Formgrader writes names into its pages as they are: into HTML, and between quotes into a script.
MARKUP = re.compile(r'[<>]|"(?=.*[;,(`])')
# jsonschema imports it to check addresses, which notebooks have none of; that takes 1.3 s
GRAMMAR = "rfc3987_syntax"


@dataclass(frozen=True, slots=True)
class RefusedRow:
    """A row that was not written, and why. advisory: it was judged at less isolation than the
    course requires."""

    student: str
    exercise: Number
    reason: str
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class CommitReport:
    """What became of the rows."""

    written: int
    refused: tuple[RefusedRow, ...]


def expect(course: Path) -> None:
    """Call this before a class is graded that shall be entered: it begins to load nbgrader, beside
    the grading.

    Raises `Problem` when the verdicts could not be entered: no such course, or no nbgrader.
    """
    if importlib.util.find_spec("nbgrader") is None:
        raise Problem(MISSING)
    configuration(course)
    threading.Thread(target=_load, name="nbgrader").start()


def commit(
    course: Path, rows: Iterable[Row], why: str = "course grade", only: Collection[str] = ()
) -> CommitReport:
    """Write the rows into the gradebook of the nbgrader course in the folder `course`.

    why: what the log of changed scores says. only: the cells whose scores are written, all when
    there are none.

    A row without a verdict takes an older automatic score back and is refused, as is one that
    belongs to no released assignment. Raises `Problem` when there is no such course, or its
    gradebook cannot be read or written at all.
    """
    if not _load():
        raise Problem(MISSING)
    from course.nbgrader_glue.gradebook_writer import GradebookWriter

    rows, written, refused = [*rows], 0, []
    with reported(course), GradebookWriter(settings(course)) as writer:
        writer.enrol(row for row in rows if _is_name(row.student))
        for row in rows:
            try:
                check_name(row.student)
                writer.enter(row, why, only)
                written += 1
            except (Ungraded, BadName, OSError) as reason:
                refused.append(_refused(row, reason))
    return CommitReport(written, tuple(refused))


def differences(
    course: Path, rows: Iterable[Row], only: Collection[str] = ()
) -> list[tuple[Row, str, float | None, float | None]]:
    """Which scores `commit` would change: row, cell, score now, score then. Nothing is written;
    raises as `commit`."""
    if not _load():
        raise Problem(MISSING)
    from course.nbgrader_glue.gradebook_writer import GradebookWriter

    with reported(course), GradebookWriter(settings(course)) as writer:
        found = [(row, *change) for row in rows for change in writer.differences(row)]
    return [each for each in found if not only or each[1] in only]


def late(course: Path) -> dict[tuple[str, Number], float]:
    """How many days after the due date, extensions counted, by student and exercise. Raises as
    `commit`."""
    if not _load():
        raise Problem(MISSING)
    from nbgrader.api import Gradebook

    from course.nbgrader_glue.lateness import BadExtensions, days_late

    numbers = {exercise.slug: exercise.number for exercise in exercises()}
    found = settings(course)
    with reported(course), Gradebook(found.url, found.directory.course_id) as book:
        try:
            days = days_late(book, course)
        except BadExtensions as bad:
            raise Problem(f"{bad}") from None
    return {(who, numbers[what]): count for (who, what), count in days.items() if what in numbers}


def _refused(row: Row, reason: Exception) -> RefusedRow:
    """OSError: this one's files cannot be read or written; that need not be so for the next."""
    if isinstance(reason, OSError):
        where = reason.filename or "the course's folder"
        return RefusedRow(
            row.student, row.exercise, f"{where} cannot be read or written: {reason.strerror}."
        )
    return RefusedRow(row.student, row.exercise, str(reason), isinstance(reason, Advisory))


class BadName(Exception):
    """A student's name that cannot be the name of a folder."""


def check_name(student: str) -> None:
    """Raises `BadName` for a name under which nbgrader cannot keep a folder."""
    if not student.strip() or student.strip() != student or student.startswith("."):
        raise BadName(
            f"{student!r} cannot be a student's name: it is empty, or begins or ends oddly."
        )
    if MARKUP.search(student):
        raise BadName(
            f"{shorten(repr(student), 80)} cannot be a student's name: Formgrader would take it for markup."
        )
    odd = (
        any(mark in student for mark in "/\\\0\n\r*?[")
        or student != student.encode(errors="replace").decode()
    )
    if odd or len(os.fsencode(student)) > LONGEST_NAME:
        raise BadName(
            f"{shorten(repr(student), 80)} cannot be a student's name: no folder can be called so."
        )


def _is_name(student: str) -> bool:
    with contextlib.suppress(BadName):
        check_name(student)
        return True
    return False


MISSING = "nbgrader is not installed; pip install 'inference-kitchen[nbgrader]' brings it."


def _load() -> bool:
    """Import nbgrader; whether there is one."""
    with _without(GRAMMAR):
        try:
            import nbgrader.api  # noqa: F401
        except ImportError:
            return False
    return True


@contextlib.contextmanager
def _without(module: str) -> Iterator[None]:
    """Whoever imports the module meanwhile is told that it is not installed."""
    if module in sys.modules:
        yield
        return
    sys.modules[module] = cast(ModuleType, None)
    try:
        yield
    finally:
        sys.modules.pop(module, None)


@contextlib.contextmanager
def reported(course: Path) -> Iterator[None]:
    """Database trouble as one sentence."""
    from nbgrader.api import InvalidEntry
    from sqlalchemy.exc import DatabaseError, OperationalError

    # where nbgrader prints its traceback before it raises
    log = logging.getLogger("tornado.application")
    before, log.disabled = log.disabled, True
    try:
        yield
    except (OperationalError, InvalidEntry) as trouble:
        problem = f"the gradebook of {course} cannot be written ({_cause(trouble)}); the verdicts are kept."
        raise Problem(problem, ExitCode.UNGRADED) from None
    except DatabaseError as trouble:
        raise Problem(
            f"the gradebook of {course} is no database any more ({_cause(trouble)}); restore it."
        ) from None
    except OSError as trouble:
        raise Problem(
            f"{trouble.filename or course} cannot be written: {trouble.strerror}.",
            ExitCode.UNGRADED,
        ) from None
    finally:
        log.disabled = before


def _cause(trouble: Any) -> str:
    """What the database said, without who said it: "database is locked"."""
    return re.sub(r"^\([\w.]+\) ", "", str(getattr(trouble, "orig", trouble)).splitlines()[0])
