"""Laws, executable specifications, worker processes and verdicts. Knows no terminal.

    from graders import catalogue, grade

Importing this costs a few milliseconds: what is heavy (hypothesis, torch) is imported by the law
that needs it.
"""

from typing import TYPE_CHECKING

from graders.registry.catalogue import Exercise, catalogue
from graders.registry.law import Law
from graders.result import ExerciseResult, Figure, LawResult, Outcome, Story

if TYPE_CHECKING:
    from graders.grading import grade

__all__ = [
    "Exercise",
    "ExerciseResult",
    "Figure",
    "Law",
    "LawResult",
    "Outcome",
    "Story",
    "catalogue",
    "grade",
]


def __getattr__(name: str) -> object:
    """`grade` is imported when it is first asked for."""
    if name == "grade":
        from graders.grading import grade

        return grade
    raise AttributeError(name)
