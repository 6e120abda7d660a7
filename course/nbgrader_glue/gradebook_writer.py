"""Writes verdicts into a gradebook, one after the other."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Sequence
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import nbformat
from nbgrader import utils
from nbgrader.api import Gradebook, MissingEntry, Student
from nbgrader.preprocessors import AssignLatePenalties

from course.nbgrader_glue import (
    answer_sheet,
    feedback,
    notebook,
    score_changes,
    solution_cell,
    submission_metadata,
    write_outputs,
)
from course.nbgrader_glue.autograding import FORMAT, forget, identified, leave, rate
from course.nbgrader_glue.feedback import Advisory, Ungraded
from course.nbgrader_glue.intake import Sources, answers
from course.nbgrader_glue.notebook import law_id
from course.nbgrader_glue.released import page, released
from course.nbgrader_glue.restore_cells import ReleasedCell, restore
from course.nbgrader_glue.score_changes import Change
from course.nbgrader_glue.settings import Settings
from course.progress import replace_file
from graders.registry.catalogue import Exercise, catalogue
from graders.result import ExerciseResult
from graders.sandbox.isolation import FOR_MARKS, LEVELS, below
from graders.submissions.notebook import cells_of
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import opened
from graders.submissions.submission_reader import Declared, take

if TYPE_CHECKING:
    from graders.reports.row import Row

CELL = "the solution cell"


class GradebookWriter:
    """Holds the gradebook open. Not for threads: a gradebook has one writer. `Problem` when there
    is no gradebook."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._url = settings.url
        self._book = Gradebook(self._url, settings.directory.course_id)
        # else each row loads all cells of the assignment again
        self._book.db().expire_on_commit = False
        self._released: dict[str, list[ReleasedCell]] = {}
        self._pages: dict[str, list[Any]] = {}
        self._cells: list[Any] = []  # holds the rows of the released cells in memory

    def __enter__(self) -> GradebookWriter:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        tb: TracebackType | None,
    ) -> None:
        self._book.close()

    def enrol(self, rows: Iterable[Row]) -> None:
        """Take everybody in whom the gradebook does not know and whose row it has a place for,
        unless the course's configuration forbids it.

        All at once, before any score: the gradebook is the roster of the next batch, and whoever
        types a command again that was killed is not to find half a class at the door.
        """
        if self._settings.config.Autograde.get("create_student", True):
            known = {student.id for student in self._book.students}
            released = {assignment.name for assignment in self._book.assignments}
            placed = (
                row
                for row in rows
                if row.result.exercise and catalogue(row.result.exercise).slug in released
            )
            students = dict.fromkeys(row.student for row in placed)
            self._book.db.add_all(Student(id=each) for each in students if each not in known)
            self._book.db.commit()

    def enter(self, row: Row, why: str = "course grade", only: Collection[str] = ()) -> None:
        """Write one row: the autograded notebook, then the scores, those of the cells `only` if
        there are any.

        Raises `Ungraded` when it is no verdict, or the student was not enrolled.
        """
        if not row.result.exercise:
            raise Ungraded(row.problem or "no part of an exercise was handed in.")
        exercise = catalogue(row.result.exercise)
        known = self._known(exercise)
        self._submit(exercise, row)
        try:
            sheet, left_out = self._sheet(exercise, row, known)
        except Ungraded:
            forget(self._book, self._settings.root, exercise.slug, exercise.slug, row.student, why)
            raise
        target = self._settings.place("autograded", row.student, exercise.slug)
        before = answers(target / f"{exercise.slug}.ipynb")
        target.mkdir(parents=True, exist_ok=True)
        replace_file(target / f"{exercise.slug}.ipynb", notebook.text(sheet))
        submission_metadata.copy(self._submitted(exercise, row), target)
        submission_metadata.complete(target, f"{exercise.slug}.ipynb")
        submitted = self._book.find_submission_notebook(exercise.slug, exercise.slug, row.student)
        asked = [grade for grade in submitted.grades if not only or grade.name in only]
        self._score(submitted, asked, sheet, left_out, before, why)

    def differences(self, row: Row) -> list[tuple[str, float | None, float | None]]:
        """Which automatic scores `enter` would change: the cell, the score now, the score then.
        Nothing is written."""
        if not row.result.exercise or feedback.is_ungraded(row.result):
            return []
        slug = catalogue(row.result.exercise).slug
        then = (
            {}
            if row.result.needs_person
            else {law_id(law.number): law.points for law in row.result.laws}
        )
        try:
            grades = self._book.find_submission_notebook(slug, slug, row.student).grades
            now = {
                grade.name: grade.auto_score for grade in grades if grade.name.startswith("law-")
            }
        except MissingEntry:
            now = {}
        if row.result.needs_person:
            return [(name, score, None) for name, score in now.items() if score is not None]
        return [
            (name, now.get(name), score) for name, score in then.items() if now.get(name) != score
        ]

    def _submitted(self, exercise: Exercise, row: Row) -> Path:
        """Where it was handed in; under another name than the roster's, that is where it was found."""
        place = self._settings.place("submitted", row.student, exercise.slug)
        return place if place.is_dir() else Path(row.source).parent

    def _known(self, exercise: Exercise) -> list[ReleasedCell]:
        if exercise.slug not in self._released:
            try:
                self._released[exercise.slug] = released(self._book, exercise.slug, exercise.slug)
                self._pages[exercise.slug] = page(
                    self._settings.directory, exercise.slug, exercise.slug
                )
                found = self._book.find_notebook(exercise.slug, exercise.slug)
                self._cells += [*found.grade_cells, *found.solution_cells]
            except MissingEntry:
                advice = f"`nbgrader generate_assignment {exercise.slug}` records it."
                raise Ungraded(
                    f"the gradebook does not know the assignment {exercise.slug}; {advice}"
                ) from None
        return self._released[exercise.slug]

    def _submit(self, exercise: Exercise, row: Row) -> None:
        try:
            self._book.find_student(row.student)
        except MissingEntry:
            raise Ungraded(
                f"{row.student} is not in the gradebook, and create_student is False there."
            ) from None
        when = submission_metadata.time(self._submitted(exercise, row))
        stamp = {"timestamp": when} if when else {}
        with self._book.db.no_autoflush:
            self._book.update_or_create_submission(exercise.slug, row.student, **stamp)

    def _sheet(
        self, exercise: Exercise, row: Row, known: list[ReleasedCell]
    ) -> tuple[dict[str, Any], set[str]]:
        """The notebook with the verdict in it, the one handed in or one made for the file that was;
        and the laws that the verdict leaves out."""
        if feedback.is_ungraded(row.result):
            raise Ungraded(feedback.reasons(row.result))
        self._refuse_advisory(row.result)
        cells, found = _handed_in(exercise, row)
        restored = restore(cells, known, Declared.of(exercise).defines, self._pages[exercise.slug])
        answer_sheet.fill_in(restored.cells, exercise, answer_sheet.text(*row.answers))
        sheet: dict[str, Any] = {
            "cells": identified(restored.cells),
            "metadata": {"kernelspec": notebook.KERNEL},
        }
        sheet |= {"nbformat": FORMAT[0], "nbformat_minor": FORMAT[1]}
        notices = dict.fromkeys([*restored.notices, *row.notices])
        return sheet, write_outputs.mark(restored.cells, row.result, found, notices)

    def _refuse_advisory(self, result: ExerciseResult) -> None:
        """Whoever judged may have required less than this course does."""
        required = str(self._settings.config.CourseGrade.get("require_isolation", FOR_MARKS))
        tried = result.isolation in LEVELS
        if result.advisory or (tried and required in LEVELS and below(result.isolation, required)):
            raise Advisory(
                f"it was judged at isolation {result.isolation}, below the level that is required."
            )

    def _score(
        self,
        submitted: Any,
        grades: Sequence[Any],
        sheet: dict[str, Any],
        left_out: set[str],
        before: Sources,
        why: str,
    ) -> None:
        slug, student = submitted.assignment.name, submitted.assignment.student_id
        cells = {write_outputs.grade_id(cell): nbformat.from_dict(cell) for cell in sheet["cells"]}
        changes = []
        for grade in grades:
            if grade.name in left_out:
                leave(grade)
                continue
            change = rate(grade, cells[grade.name], before)
            changes.append(Change(student, slug, grade.name, score_changes.LAW, *change, why))
        for comment in submitted.comments:
            cell = cells[comment.name]
            idle = cell.metadata.nbgrader["checksum"] == utils.compute_checksum(cell)
            comment.auto_comment = "No response." if idle else None
        submitted.late_submission_penalty = None
        score_changes.note(self._settings.root, changes)
        self._book.db.commit()
        if submitted.assignment.total_seconds_late > 0:
            self._penalize(slug, student)

    def _penalize(self, slug: str, student: str) -> None:
        names = {"student": student, "assignment": slug, "notebook": slug, "db_url": self._url}
        sheet = nbformat.from_dict(
            {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        )
        AssignLatePenalties(config=self._settings.config).preprocess(sheet, {"nbgrader": names})
        self._book.db.expire_all()


def _handed_in(exercise: Exercise, row: Row) -> tuple[list[Any], str]:
    """The cells of the notebook that was handed in, or of the released one with the part in it;
    what was graded, in words."""
    source = Path(row.source)
    found = f"the file {source.name}" if source.suffix != ".ipynb" else CELL
    path, inner = row.notebook
    beside = source if source.suffix == ".ipynb" else source.with_name(f"{exercise.slug}.ipynb")
    if not path and beside.is_file():  # rows from before this was noted
        path = str(beside)
    if path:
        try:
            return cells_of(opened(Path(path), inner)), found
        except (ValueError, UnusableSubmission):
            found = f"{source.name}, which is no notebook that can be read"
    cells = json.loads(_empty(exercise.slug))["cells"]
    try:
        text = take(source, Declared.of(exercise)).data
    except UnusableSubmission:
        return cells, found
    next(cell for cell in cells if cell["id"] == exercise.slot)["source"] = text.decode(
        "utf-8-sig", "replace"
    )
    return cells, found


@cache
def _empty(slug: str) -> str:
    """The student's notebook as text; making it takes longer than anything else here."""
    exercise = solution_cell.exercise_of(slug)
    return notebook.text(notebook.release(exercise)) if exercise else "{}"
