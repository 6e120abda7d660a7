"""The "explain it back" questions: answered in plain words, graded by a person."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

FILE = "questions.md"  # beside the solution, and like it kept from students
QUESTION = re.compile(
    r"^## Question \((?P<points>\d+) points\)\n(?P<text>.*?)^### A good answer\n(?P<answer>.*?)(?=^## |\Z)",
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


def _flowing(text: str) -> str:
    return " ".join(text.split())
