"""Whose predictions a figure shows: the learner's own formulas while they keep their laws, else the
solution's."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from course import progress, workspace
from course.active_file import in_use, text_of
from course.targets import learner_file
from course.workspace import Workspace
from graders.registry.catalogue import Exercise, catalogue
from graders.result import Outcome
from graders.submissions.source import digest

NOT_BUILT = "No predictions: this installation has no formulas for this lab"


@dataclass(frozen=True, slots=True)
class Formulas:
    """The functions of one lab. source: whose they are, for a legend; what is said when there are
    none. own: they are the learner's.
    """

    source: str
    module: Any = None
    own: bool = False

    def __call__(self, name: str, *arguments: Any) -> Any:
        """What the formula called `name` says; None where there is none, or it cannot say."""
        function = getattr(self.module, name, None)
        if function is None:
            return None
        # a prediction that fails leaves a gap in a picture, and nothing else
        with suppress(Exception):
            return function(*arguments)
        return None


def formulas(lab: int, place: Workspace | None) -> Formulas:
    """The learner's, where every law of the lab held for the text that counts now; else the
    solution's, where it is there. What was passed with an older text says nothing of this one.
    """
    exercise = catalogue(f"lab{lab}")
    own = _learners(exercise, place) if place else None
    if own is not None:
        return Formulas("your formula", own, own=True)
    solution = workspace.installed_root() / "solutions" / exercise.slug / exercise.file_name
    module = _module(solution.read_text(encoding="utf-8"), solution) if solution.is_file() else None
    return Formulas(NOT_BUILT) if module is None else Formulas("the solution's formula", module)


def shape(sizes: Mapping[str, int]) -> Any:
    """The sizes of a model as the formulas take them."""
    from reference_engine import slots

    kind = getattr(slots, "Shape", SimpleNamespace)
    return kind(**{**sizes, "tied": bool(sizes.get("tied"))})


def _learners(exercise: Exercise, place: Workspace) -> Any:
    """What is written in file or notebook; None unless every law holds for it."""
    path = in_use(learner_file(place, exercise), exercise)
    text, memory = text_of(path, exercise), progress.load(place.memory)
    now = digest(text)
    marks = [
        (memory.outcome(law.number, law.name, now), memory.old(law.number, law.name, now))
        for law in exercise.laws
    ]
    return _module(text, path) if all(mark == (Outcome.PASS, False) for mark in marks) else None


def _module(text: str, path: Path) -> Any:
    """The module of a text; None when it cannot be executed."""
    # where dataclasses look for it
    module = sys.modules[f"formulas_{path.stem}"] = ModuleType(f"formulas_{path.stem}")
    with suppress(Exception):
        exec(compile(text, str(path), "exec"), module.__dict__)
        return module
    return None
