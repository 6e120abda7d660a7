"""Which code of a submitted notebook is the part, and the file it becomes."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from graders.registry.catalogue import Exercise, exercises
from graders.submissions.notebook import has, untouched, without_magics
from graders.submissions.submission_reader import Declared


@dataclass(frozen=True, slots=True)
class Part:
    """The text to be graded and where it was found, in words."""

    text: str
    found: str


def exercise_of(slug: str) -> Exercise | None:
    """The exercise whose notebook or assignment is called `slug`, if there is one."""
    return next((exercise for exercise in exercises() if exercise.slug == slug), None)


def defines(exercise: Exercise, code: str) -> bool:
    """Whether the code defines, at its top level, what the file of this exercise has to define."""
    return has(code, Declared.of(exercise).defines)


def newest(exercise: Exercise, inputs: Iterable[str]) -> str | None:
    """The last of the inputs that defines the part."""
    return next((code for code in reversed(list(inputs)) if defines(exercise, code)), None)


def choose(exercise: Exercise, cell: str | None, beside: str | None) -> Part:
    """The part: the cell if anything is written in it, else the file beside the notebook, else the
    cell as it is."""
    if beside is not None and (cell is None or untouched(cell)) and not untouched(beside):
        return Part(beside, f"the file {exercise.file_name} beside the notebook")
    if cell is None:
        return Part("", "nowhere: the solution cell is gone")
    return Part(without_magics(cell), "the solution cell")
