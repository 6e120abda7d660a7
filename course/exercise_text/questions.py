"""The "explain it back" questions, and the file in which a learner answers them in plain words; graded by a person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from graders.registry.catalogue import Exercise

FILE = "questions.md"  # beside the solution, and like it kept from students
ANSWERS = "explain.md"  # beside the part
QUESTION = re.compile(
    r"^## Question \((?P<points>\d+) points\)\n(?P<text>.*?)^### A good answer\n(?P<answer>.*?)(?=^## |\Z)",
    re.MULTILINE | re.DOTALL,
)
ANSWER = re.compile(
    r"^## Question \d+ .*?\n(?P<text>.*?)^### Your answer\n(?P<answer>.*?)(?=^## Question |\Z)",
    re.MULTILINE | re.DOTALL,
)


@dataclass(frozen=True, slots=True)
class Question:
    """What the learner is asked, and what a good answer says (shown to instructors only)."""

    text: str
    answer: str
    points: int


def questions(home: Path) -> tuple[Question, ...]:
    """The questions of the exercise whose solution lies in `home`; none when it has none."""
    try:
        page = (home / FILE).read_text(encoding="utf-8")
    except FileNotFoundError:
        return ()
    return tuple(
        Question(_flowing(found["text"]), _flowing(found["answer"]), int(found["points"]))
        for found in QUESTION.finditer(page)
    )


def asked(home: Path) -> str:
    """The questions as the lesson asks them, a numbered list; "" when there are none."""
    return "\n".join(
        f"{number}. ({question.points} points) {question.text}" for number, question in enumerate(questions(home), 1)
    )


def answer_sheet(exercise: Exercise, home: Path) -> str:
    """The file to answer in, with nothing answered; "" when there are no questions."""
    pieces = [
        f"# Explain it back: exercise {exercise.number}, {exercise.name}\n\nIn your own words, no code. A person reads"
        f" these answers; `course submit {exercise.number}` packs them beside\nyour part.\n"
    ]
    for number, question in enumerate(questions(home), 1):
        pieces.append(f"## Question {number} ({question.points} points)\n\n{question.text}\n\n### Your answer\n\n")
    return "\n".join(pieces) if len(pieces) > 1 else ""


def answers(sheet: str) -> tuple[str, ...]:
    """What was written below each question of a sheet, "" where nothing was."""
    return tuple(found["answer"].strip() for found in ANSWER.finditer(sheet))


def unanswered(sheet: str) -> Sequence[int]:
    """The numbers of the questions of a sheet without an answer."""
    return [number for number, answer in enumerate(answers(sheet), 1) if not answer]


def _flowing(text: str) -> str:
    return " ".join(text.split())
