"""Answers in plain words as a person reads them: one question at a time, without names, the rubric
beside them.

Who wrote an answer is not told, and the order is another one for each question, so that no two can
be put together. Scores and comments go straight into nbgrader's gradebook, as Formgrader would
write them.
"""

from __future__ import annotations

import hmac
import math
import re
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from nbgrader.api import Gradebook, MissingEntry

from course.errors import Problem
from course.exercise_text.questions import Question, questions
from course.nbgrader_glue import score_changes
from course.nbgrader_glue.intake import answers
from course.nbgrader_glue.notebook import ANSWER, question_id
from course.nbgrader_glue.score_changes import BY_HAND, Change
from course.nbgrader_glue.settings import Settings
from course.targets import solution_file
from graders.registry.catalogue import Exercise

LONGEST_COMMENT = 10_000  # characters
FENCED = re.compile(r"(`{3,})\n(?P<text>.*)\n\1\Z", re.DOTALL)


class Refused(ValueError):
    """What was typed is no score of this question; one sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One student's answer. key: stands for the student. score: what counts now. open: a person has
    to look at it."""

    key: str
    text: str
    score: float | None
    comment: str
    open: bool


class AnswerSheets:
    """The answers to the questions of one exercise. secret: by it nobody can tell whose a key is.

    `Problem` when the exercise asks nothing, or was not released.
    """

    def __init__(self, settings: Settings, exercise: Exercise, secret: str) -> None:
        self.exercise = exercise
        self.questions: tuple[Question, ...] = questions(solution_file(exercise).parent)
        self._settings = settings
        self._secret = secret.encode()
        if not self.questions:
            raise Problem(f"{exercise.title} asks nothing that is answered in plain words.")
        with self._book() as book:
            try:
                book.find_notebook(exercise.slug, exercise.slug)
            except MissingEntry:
                advice = f"`nbgrader generate_assignment {exercise.slug}` records it."
                raise Problem(f"the gradebook does not know {exercise.slug}; {advice}") from None

    def answers(self, index: int) -> list[Answer]:
        """Everybody's answer to a question, counted from 0; those that a person has to look at come
        first."""
        with self._book() as book:
            found = [
                self._answer(index, student, grade, comment)
                for student, grade, comment in self._all(book, index)
            ]
        return sorted(found, key=lambda each: (not each.open, not each.text, each.key))

    def save(self, index: int, key: str, score: float | None, comment: str) -> Answer:
        """Write what a person gives; no score: it is open again. Raises Refused."""
        with self._book() as book:
            for student, grade, remark in self._all(book, index):
                if hmac.compare_digest(self._key(index, student).encode(), key.encode()):
                    self._write(student, grade, remark, score, comment.strip()[:LONGEST_COMMENT])
                    book.db.commit()
                    return self._answer(index, student, grade, remark)
        raise Refused("There is no such answer any more; load the page again.")

    def _write(
        self, student: str, grade: Any, remark: Any, score: float | None, comment: str
    ) -> None:
        if score is not None and not (math.isfinite(score) and 0 <= score <= grade.max_score):
            raise Refused(f"A score is a number from 0 to {grade.max_score:g}.")
        where = student, self.exercise.slug, grade.name, BY_HAND
        score_changes.note(
            self._settings.root, [Change(*where, grade.manual_score, score, "read without a name")]
        )
        grade.manual_score = score
        grade.needs_manual_grade = score is None
        remark.manual_comment = comment or None

    def _all(self, book: Gradebook, index: int) -> Iterator[tuple[str, Any, Any]]:
        """Of everybody who handed in: the id, the grade and the comment of a question."""
        slug, name = self.exercise.slug, question_id(self.exercise.number, index)
        for submission in book.notebook_submissions(slug, slug):
            remarks = {comment.name: comment for comment in submission.comments}
            for grade in submission.grades:
                if grade.name == name and name in remarks:
                    yield submission.student.id, grade, remarks[name]

    def _answer(self, index: int, student: str, grade: Any, remark: Any) -> Answer:
        sheet = (
            self._settings.place("autograded", student, self.exercise.slug)
            / f"{self.exercise.slug}.ipynb"
        )
        text = plain(answers(sheet).get(grade.name, ""))
        score = grade.manual_score if grade.manual_score is not None else grade.auto_score
        key = self._key(index, student)
        return Answer(key, text, score, remark.manual_comment or "", bool(grade.needs_manual_grade))

    def _key(self, index: int, student: str) -> str:
        said = f"{self.exercise.slug}\0{index}\0{student}".encode("utf-8", "surrogatepass")
        return hmac.digest(self._secret, said, "sha256").hex()[:24]

    def _book(self) -> Gradebook:
        return Gradebook(self._settings.url, self._settings.directory.course_id)


def sheets(settings: Settings, exercises: Sequence[Exercise], *, every: bool) -> list[AnswerSheets]:
    """A sheet for each exercise; every: `Problem` for one that has none, else they are left out."""
    secret, found = secrets.token_hex(32), []
    for exercise in exercises:
        try:
            found.append(AnswerSheets(settings, exercise, secret))
        except Problem:
            if every:
                raise
    if not found:
        raise Problem("no exercise with questions was released in this course yet.")
    return found


def plain(text: str) -> str:
    """An answer as it was written, out of the block in which it is kept; nothing for one that was
    not written."""
    block = FENCED.match(text.strip())
    said = block["text"] if block else text.strip()
    return "" if said == ANSWER else said
