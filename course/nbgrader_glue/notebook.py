"""An exercise as an nbgrader notebook, made from its solution and its lesson; plain JSON, without
nbgrader.

The cells: the lesson, one solution cell with the whole module, one locked autograded cell a law
that checks the solution cell, and questions that a person grades. The same input gives the same
bytes.
"""

from __future__ import annotations

import json
import re
import textwrap
from pathlib import Path
from typing import Any

from course.errors import Problem
from course.exercise_text.lessons import EXPLAIN, LESSON, filled
from course.exercise_text.questions import questions
from course.exercise_text.stubs import stub
from course.targets import solution_file
from graders.registry.catalogue import Exercise
from graders.registry.parts import Number

Cell = dict[str, Any]

ANSWER = "YOUR ANSWER HERE"
WIDTH = 100
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}

PART = """\
## Your part

The next cell is the file `{file}`. Its docstrings are the contract; write your code where it says
`NotImplementedError`, run the cell, then run the law cells below it. You may also put your own file `{file}` beside
this notebook and leave the cell as it is. Please do not rename, copy or delete the cells."""

LAWS = """\
## The laws, one by one

Each of the next cells judges the code above in a process of its own and says which law breaks, with the shortest story
that breaks it. They are locked: what you change in them is undone before grading. Hints: `course hint {number}.1` in a
terminal, again for more."""

ANSWERS = f"""\
{EXPLAIN}

In your own words, no code. A person reads these answers."""


def law_id(number: str) -> str:
    """The grade_id of the cell of law "1.4": "law-1-4"."""
    return f"law-{number.replace('.', '-')}"


def question_id(exercise: Number, index: int) -> str:
    """The grade_id of the answer to question `index`, counted from 0: "explain-1-1"."""
    return f"explain-{exercise}-{index + 1}"


def source(exercise: Exercise, home: Path | None = None) -> dict[str, Any]:
    """The instructor's notebook, solution and model answers included.

    home: the folder of the solution and its lesson, by default the installed one; `Problem` when
    they are not there.
    """
    home = home or solution_file(exercise).parent
    answers = [question.answer for question in questions(home)]
    return _notebook(exercise, home, _solved(exercise, home), answers)


def release(exercise: Exercise, home: Path | None = None) -> dict[str, Any]:
    """The student's notebook: the stub in the solution cell, no answers."""
    home = home or solution_file(exercise).parent
    answers = [ANSWER for _ in questions(home)]
    return _notebook(exercise, home, stub_cell(_solved(exercise, home)), answers)


def stub_cell(solved: str) -> str:
    """The text of the student's solution cell: the generated stub without its first line, which
    names a file."""
    return stub(solved, "the solution").partition("\n")[2].rstrip("\n")


def text(notebook: dict[str, Any]) -> str:
    """The notebook as the text of a file."""
    return json.dumps(notebook, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


def _solved(exercise: Exercise, home: Path) -> str:
    return (home / exercise.file_name).read_text(encoding="utf-8")


def _notebook(exercise: Exercise, home: Path, code: str, answers: list[str]) -> dict[str, Any]:
    words = {"file": exercise.file_name, "number": exercise.number}
    cells = [
        _markdown(f"lesson-{number}", piece)
        for number, piece in enumerate(_lesson(exercise, home), 1)
    ]
    cells.append(_markdown("your-part", PART.format(**words)))
    cells.append(_code(exercise.slot, code.rstrip("\n"), solution=True))
    cells.append(_markdown("the-laws", LAWS.format(**words)))
    cells += [_code(law_id(law.number), _law_code(law.number, law.name, law.statement), law.points)
              for law in exercise.laws]  # fmt: skip
    if answers:
        cells.append(_markdown("explain", ANSWERS))
    for index, (question, answer) in enumerate(zip(questions(home), answers, strict=True)):
        name = question_id(exercise.number, index)
        cells.append(
            _markdown(
                f"ask-{name}",
                f"**Question {index + 1}** ({question.points} points). {question.text}",
            )
        )
        cells.append(_answer(name, answer, question.points))
    metadata = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    return {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5}


def _lesson(exercise: Exercise, home: Path) -> list[str]:
    """The lesson in pieces, one a heading; a notebook is read cell by cell. The questions have
    cells of their own."""
    try:
        lesson = filled((home / LESSON).read_text(encoding="utf-8"), exercise, home)
    except FileNotFoundError:
        raise Problem(f"the lesson of {exercise.title} is not in this installation.") from None
    lesson = re.sub(r"^<!--.*?-->\n", "", lesson, flags=re.MULTILINE)
    pieces = [
        piece.strip()
        for piece in re.split(r"^(?=## )", lesson, flags=re.MULTILINE)
        if piece.strip()
    ]
    pieces = [piece for piece in pieces if not piece.startswith(EXPLAIN)]
    made = f"<!-- Generated by `course generate` from solutions/{exercise.slug}/. -->"
    return [f"{made}\n{pieces[0]}", *pieces[1:]] if pieces else []


def _law_code(number: str, name: str, statement: str) -> str:
    says = textwrap.fill(statement, WIDTH, initial_indent="# ", subsequent_indent="# ")
    return f'# Law {number}: {name}\n{says}\nfrom course.nbgrader_glue.student_api import check\n\ncheck("{number}")'


def _markdown(name: str, source: str) -> Cell:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def _code(name: str, source: str, points: float = 0, *, solution: bool = False) -> Cell:
    mark = _mark(name, "code", grade=not solution, solution=solution, points=points)
    return _markdown(name, source) | {
        "cell_type": "code",
        "metadata": mark,
        "execution_count": None,
        "outputs": [],
    }


def _answer(name: str, source: str, points: float) -> Cell:
    return _markdown(name, source) | {
        "metadata": _mark(name, "markdown", grade=True, solution=True, points=points)
    }


def _mark(
    name: str, cell_type: str, *, grade: bool, solution: bool, points: float
) -> dict[str, Any]:
    """nbgrader's metadata, schema version 3."""
    mark: dict[str, Any] = {
        "cell_type": cell_type,
        "grade": grade,
        "grade_id": name,
        "locked": not solution,
    }
    mark |= {"schema_version": 3, "solution": solution, "task": False}
    if grade:
        mark["points"] = points
    return (
        {"nbgrader": mark}
        if solution
        else {"deletable": False, "editable": False, "nbgrader": mark}
    )
