"""The gradebook as a table that a spreadsheet can open without doing what a student's name says."""

from __future__ import annotations

import csv
import enum
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry
from nbgrader.plugins import ExportPlugin

from course.nbgrader_glue import lateness, score_changes
from course.nbgrader_glue.notebook import law_id
from graders.registry.catalogue import exercises

COLUMNS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score", "state",
)  # fmt: skip
TIMED = {
    law_id(law.number) for each in exercises() for law in each.laws if law.kind == "throughput"
}
CANVAS = {
    "Student": "",
    "ID": "",
    "SIS User ID": "student_id",
    "SIS Login ID": "email",
    "Section": "",
}
MOODLE = {"ID number": "student_id", "Email address": "email"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class State(enum.StrEnum):
    """What is known of a student's grade."""

    NOTHING = "no submission"  # score 0
    UNGRADED = "ungraded"  # no score, grade it again
    PERSON = "needs a person"  # the score so far, none where it is in doubt what was handed in
    NOT_TIMED = "not timed"  # the score without the timed laws
    GRADED = "graded"


class SafeCsv(ExportPlugin):  # type: ignore[misc]
    """Writes grades.csv, or the file named by --to: quoted, UTF-8, texts that look like formulas
    made harmless."""

    def export(self, gradebook: Any) -> None:
        """Write the file, a row for every student and assignment, and the same for Canvas and
        Moodle beside it.

        What being late costs is computed now, from the scores as they stand. Exits with 1 and one
        line in the log when nobody can say who has more time.
        """
        home = Path(self.config.CourseDirectory.get("root", "."))
        try:
            given = lateness.extensions(home, gradebook)
        except lateness.BadExtensions as bad:
            self.log.error("nothing was exported: %s", bad)
            raise SystemExit(1) from None
        changes = lateness.penalize(gradebook, self, given)
        score_changes.note(home, changes)
        score_changes.note_by_hand(home, gradebook)
        target = Path(self.to or "grades.csv")
        rows = list(self._rows(gradebook))
        _write(target, COLUMNS, rows)
        for system, columns in (("canvas", CANVAS), ("moodle", MOODLE)):
            _write(target.with_name(f"{target.stem}-{system}.csv"), *_for_import(rows, columns))
        self.log.info("Grades written to %s, and for Canvas and Moodle beside it", target)

    def _rows(self, gradebook: Any) -> Iterator[dict[str, str]]:
        for assignment in gradebook.assignments:
            if self.assignment and assignment.name not in map(str, self.assignment):
                continue
            for student in gradebook.students:
                if not self.student or student.id in map(str, self.student):
                    yield _row(gradebook, assignment, student)


def _write(path: Path, columns: Sequence[str], rows: Iterable[dict[str, str]]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        table = csv.DictWriter(file, columns, quoting=csv.QUOTE_ALL)
        table.writeheader()
        table.writerows(rows)


def _for_import(
    rows: list[dict[str, str]], columns: dict[str, str]
) -> tuple[list[str], list[dict[str, str]]]:
    """A line a student, a column an assignment, as gradebooks of other systems take them. No score
    stays empty."""
    assignments = {row["assignment"]: row["max_score"] for row in rows}
    students: dict[str, dict[str, str]] = {}
    for row in rows:
        line = students.setdefault(
            row["student_id"], {name: row.get(key, "") for name, key in columns.items()}
        )
        if "Student" in columns:
            line["Student"] = (
                f"{row['last_name']}, {row['first_name']}".strip(", ") or row["student_id"]
            )
        line[row["assignment"]] = (
            row["score"] if row["state"] in (State.GRADED, State.NOTHING) else ""
        )
    lines = list(students.values())
    if "Student" in columns:
        lines.insert(0, {"Student": "    Points Possible", **assignments})
    return [*columns, *assignments], lines


def harmless(text: str) -> str:
    """The text with an apostrophe before it if a spreadsheet would take it for a formula."""
    return f"'{text}" if text.lstrip(" ").startswith(FORMULA) else text


def _row(gradebook: Any, assignment: Any, student: Any) -> dict[str, str]:
    row = {
        "assignment": harmless(assignment.name),
        "duedate": str(assignment.duedate or ""),
        "student_id": harmless(student.id),
        "last_name": harmless(student.last_name or ""),
        "first_name": harmless(student.first_name or ""),
        "email": harmless(student.email or ""),
        "max_score": str(assignment.max_score),
    }
    return row | _score(gradebook, assignment.name, student.id)


def _score(gradebook: Any, assignment: str, student: str) -> dict[str, str]:
    try:
        submission = gradebook.find_submission(assignment, student)
    except MissingEntry:
        nothing = {
            "timestamp": "",
            "raw_score": "0.0",
            "late_submission_penalty": "0.0",
            "score": "0.0",
        }
        return nothing | {"state": State.NOTHING}
    state = _state(submission)
    penalty = submission.late_submission_penalty or 0.0
    score = {"raw_score": "", "late_submission_penalty": "", "score": ""}
    if not _open_laws(submission) - TIMED:
        net = max(0.0, submission.score - penalty)
        score = {
            "raw_score": str(submission.score),
            "late_submission_penalty": str(penalty),
            "score": str(net),
        }
    due = str(submission.duedate) if submission.assignment.duedate else ""
    return {"timestamp": str(submission.timestamp or ""), "duedate": due, **score, "state": state}


def _state(submission: Any) -> State:
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    still_open = _open_laws(submission)
    if any(grade.needs_manual_grade for grade in grades if grade.name in still_open - TIMED):
        return State.PERSON
    if still_open - TIMED:
        return State.UNGRADED
    if any(grade.needs_manual_grade for grade in grades):
        return State.PERSON
    return State.NOT_TIMED if still_open else State.GRADED


def _open_laws(submission: Any) -> set[str]:
    """The names of laws without a score of any kind: as long as one is not timed there is no score
    at all."""
    return {
        grade.name
        for notebook in submission.notebooks
        for grade in notebook.grades
        if _is_open(grade)
    }


def _is_open(grade: Any) -> bool:
    """Whether a law's cell has no score of any kind."""
    scores = (grade.auto_score, grade.manual_score)
    return bool(grade.cell.cell_type == "code") and all(score is None for score in scores)
