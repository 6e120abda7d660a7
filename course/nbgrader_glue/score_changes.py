"""The log of every score that changed, and why: `score_changes.csv` in the course's folder, only
ever added to."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from graders.reports.plain import cell as harmless

FILE = "score_changes.csv"
COLUMNS = ("time", "student", "assignment", "cell", "kind", "before", "after", "why")
LAW, BY_HAND, LATE = "automatic", "by hand", "late"  # kinds


@dataclass(frozen=True, slots=True)
class Change:
    """One score that is another one now. kind: LAW, BY_HAND, or LATE for the points taken away.
    None: no score."""

    student: str
    assignment: str
    cell: str
    kind: str
    before: float | None
    after: float | None
    why: str


def note(course: Path, changes: Iterable[Change]) -> None:
    """Add the changes that are any. Raises OSError.

    To be called before the scores are written: whoever is killed in between says it twice and never
    not at all.
    """
    real = [change for change in changes if change.before != change.after]
    if not real:
        return
    path = course / FILE
    now = f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S}"
    torn = _is_torn(path)
    with path.open("a", encoding="utf-8", newline="") as file:
        table = csv.writer(file, quoting=csv.QUOTE_ALL)
        if torn:
            file.write('"\r\n')  # what a kill has left of a line, closed off
        if not file.tell():
            table.writerow(COLUMNS)
        for change in real:
            values = ["" if value is None else str(value) for value in astuple(change)]
            table.writerow([now, *map(harmless, values)])


def _is_torn(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) != b"\n"
    except OSError:  # there is none, or nothing in it
        return False


def note_by_hand(course: Path, gradebook: Any) -> None:
    """Add what people have changed since they were last noted."""
    known = {
        (row["student"], row["assignment"], row["cell"]): row["after"]
        for row in _read(course, BY_HAND)
    }
    changes = []
    for assignment in gradebook.assignments:
        for submission in assignment.submissions:
            for grade in (grade for notebook in submission.notebooks for grade in notebook.grades):
                where = submission.student_id, assignment.name, grade.name
                before = known.get((harmless(where[0]), *where[1:]), "")
                changes.append(
                    Change(
                        *where,
                        BY_HAND,
                        float(before) if before else None,
                        grade.manual_score,
                        "a person",
                    )
                )
    note(course, changes)


def _read(course: Path, kind: str) -> Sequence[dict[str, str]]:
    try:
        with (course / FILE).open(encoding="utf-8", newline="") as file:
            return [
                row
                for row in csv.DictReader(file)
                if row.get("kind") == kind and row.get("after") is not None
            ]
    except (OSError, csv.Error, UnicodeDecodeError):
        return []
