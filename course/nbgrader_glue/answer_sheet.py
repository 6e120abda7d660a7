"""Answers that were handed in as a sheet of their own (`explain.md`), put into the notebook's cells for a person."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course.exercise_text.questions import ANSWERS, answers
from course.nbgrader_glue.literal_text import literal
from course.nbgrader_glue.notebook import ANSWER, question_id
from course.nbgrader_glue.write_outputs import grade_id
from graders.registry.catalogue import Exercise
from graders.submissions.notebook import LARGEST
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import Item, items


def fill_in(cells: Iterable[Any], exercise: Exercise, found: Iterable[Item]) -> None:
    """Put the answers of the sheet among `found` into those cells in which nothing was answered. Changed in place."""
    written = _answers(found)
    names = {question_id(exercise.number, index): answer for index, answer in enumerate(written) if answer}
    for cell in cells:
        answer = names.get(grade_id(cell))
        if answer and "".join(cell["source"]).strip() in ("", ANSWER):
            cell["source"] = literal(answer)


def beside(source: Path) -> list[Item]:
    """What was handed in together with the part that was found in `source`: the archive, or the file's folder."""
    try:
        if source.suffix.lower() == ".zip":
            return items(source)
        sheet = source.with_name(ANSWERS)
        return items(sheet) if sheet.is_file() else []
    except UnusableSubmission:
        return []


def _answers(found: Iterable[Item]) -> tuple[str, ...]:
    for item in found:
        if item.name.lower() == ANSWERS:
            try:
                return answers(item.open(LARGEST).decode("utf-8-sig", "replace").replace("\r\n", "\n"))
            except UnusableSubmission:
                return ()
    return ()
