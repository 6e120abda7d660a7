"""The gradebook as a table that a spreadsheet can open without doing what a student's name says."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nbgrader.api import MissingEntry
from nbgrader.plugins import ExportPlugin

from course.nbgrader_glue.notebook import law_id
from graders.registry.catalogue import exercises

COLUMNS = (
    "assignment", "duedate", "timestamp", "student_id", "last_name", "first_name", "email", "raw_score",
    "late_submission_penalty", "score", "max_score", "state",
)  # fmt: skip
TIMED = {law_id(law.number) for each in exercises() for law in each.laws if law.kind == "throughput"}
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class SafeCsv(ExportPlugin):  # type: ignore[misc]
    """Writes grades.csv, or the file named by --to: quoted, UTF-8, texts that look like formulas made harmless.

    state: "no submission" (score 0), "ungraded" (no score, grade it again), "needs a person" (the score so far), "not
    timed" (the score without the timed laws) or "graded".
    """

    def export(self, gradebook: Any) -> None:
        """Write the file; a row for every student and assignment."""
        target = Path(self.to or "grades.csv")
        with target.open("w", encoding="utf-8", newline="") as file:
            table = csv.DictWriter(file, COLUMNS, quoting=csv.QUOTE_ALL)
            table.writeheader()
            table.writerows(self._rows(gradebook))
        self.log.info("Grades written to %s", target)

    def _rows(self, gradebook: Any) -> Iterator[dict[str, str]]:
        for assignment in gradebook.assignments:
            if self.assignment and assignment.name not in map(str, self.assignment):
                continue
            for student in gradebook.students:
                if not self.student or student.id in map(str, self.student):
                    yield _row(gradebook, assignment, student)


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
        nothing = {"timestamp": "", "raw_score": "0.0", "late_submission_penalty": "0.0", "score": "0.0"}
        return nothing | {"state": "no submission"}
    state = _state(submission)
    penalty = submission.late_submission_penalty or 0.0
    score = {"raw_score": "", "late_submission_penalty": "", "score": ""}
    if state != "ungraded":
        net = max(0.0, submission.score - penalty)
        score = {"raw_score": str(submission.score), "late_submission_penalty": str(penalty), "score": str(net)}
    return {"timestamp": str(submission.timestamp or ""), **score, "state": state}


def _state(submission: Any) -> str:
    grades = [grade for notebook in submission.notebooks for grade in notebook.grades]
    still_open = {grade.name for grade in grades if _is_open(grade)}
    if still_open - TIMED:
        return "ungraded"
    if any(grade.needs_manual_grade for grade in grades):
        return "needs a person"
    return "not timed" if still_open else "graded"


def _is_open(grade: Any) -> bool:
    """Whether a law's cell has no score of any kind."""
    scores = (grade.auto_score, grade.manual_score)
    return bool(grade.cell.cell_type == "code") and all(score is None for score in scores)
