"""Answers that were handed in as a sheet of their own (`explain.md`), put into the notebook's cells
for a person."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from course.exercise_text.questions import answers
from course.nbgrader_glue.literal_text import literal
from course.nbgrader_glue.notebook import ANSWER, question_id
from course.nbgrader_glue.write_outputs import grade_id
from graders.registry.catalogue import Exercise
from graders.submissions.notebook import LARGEST
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import opened


def fill_in(cells: Iterable[Any], exercise: Exercise, sheet: str) -> None:
    """Put the answers of the sheet into those cells in which nothing was answered. Changed in
    place."""
    names = {
        question_id(exercise.number, index): answer
        for index, answer in enumerate(answers(sheet))
        if answer
    }
    for cell in cells:
        answer = names.get(grade_id(cell))
        if answer and "".join(cell["source"]).strip() in ("", ANSWER):
            cell["source"] = literal(answer)


def text(source: Path | str, inner: str) -> str:
    """What is written in the sheet in a file or an archive; nothing in none, and in one that cannot
    be read."""
    try:
        data = opened(Path(source), inner, LARGEST) if source else b""
    except UnusableSubmission:
        return ""
    return data.decode("utf-8-sig", "replace").replace("\r\n", "\n")
