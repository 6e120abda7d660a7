"""What a law's cell runs for the student: `course check` on the code of the notebook, in processes
of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from course.nbgrader_glue import feedback, solution_cell
from graders.registry.catalogue import Exercise, catalogue
from graders.registry.parts import exercise_of
from graders.result import LawResult, Outcome, completed


class LawBroken(Exception):
    """Marks the cell as failed. The story is printed above it, so the traceback is one line."""

    def _render_traceback_(self) -> list[str]:
        return [f"{type(self).__name__}: {self}"]


class NotJudged(LawBroken):
    """The law could not be tried; the part is not to blame."""


def check(number: str, inputs: Sequence[str] | None = None) -> None:
    """Judge the part of this notebook by law `number` ("1.4") and print what came of it.

    inputs: the cells run so far; those of the running notebook if None. The last one that defines
    the part is judged, as `course check` would judge it. Raises `LawBroken` when it breaks the law,
    `NotJudged` when it was not tried.
    """
    exercise = catalogue(exercise_of(number))
    cell = solution_cell.newest(exercise, _history() if inputs is None else inputs)
    part = solution_cell.choose(exercise, cell, _beside(exercise))
    if not part.text:
        raise NotJudged(
            f"run the cell with your code first, the one that defines {exercise.class_name or 'your part'}."
        )
    law = _judge(exercise, number, part.text)
    print(feedback.told(law), end="")
    if law.outcome is Outcome.SKIPPED:
        raise NotJudged(
            f"law {law.number}, {law.name}, was not tried and has no points yet: it {law.message}."
        )
    if law.outcome is Outcome.UNGRADED:
        raise NotJudged(f"{law.message} Your part is not to blame.")
    if law.outcome is not Outcome.PASS:
        raise LawBroken(f"law {number}, {law.name}: {law.message}")


def law_of(data: dict[str, Any]) -> LawResult:
    """A law's result from its JSON."""
    return msgspec.convert(completed(data), LawResult)


def _judge(exercise: Exercise, number: str, text: str) -> LawResult:
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        Path(folder, exercise.file_name).write_text(
            text, encoding="utf-8", errors="surrogateescape"
        )
        order = [
            sys.executable,
            "-m",
            "course.cli",
            "check",
            number,
            "--using",
            exercise.file_name,
            "--needs",
            "--json",
        ]
        run = subprocess.run(
            order, cwd=folder, env=_environment(), capture_output=True, text=True, check=False
        )
    try:
        said = json.loads(run.stdout)
        laws = said["laws"]
    except (ValueError, KeyError):
        raise NotJudged(run.stderr.strip() or "`course check` gave no answer.") from None
    law = law_of(laws[0 if said["problem"] else -1])  # those before it are what it needs
    return replace(law, story=replace(law.story, replay="")) if law.story else law


def _environment() -> dict[str, str]:
    """The environment, with the folder of this very package first; a notebook may run from
    anywhere."""
    root = os.fspath(Path(__file__).resolve().parents[2])
    others = os.environ.get("PYTHONPATH")
    return {**os.environ, "PYTHONPATH": os.pathsep.join([root, *([others] if others else [])])}


def _history() -> list[str]:
    """The cells that were run, oldest first; none outside of a notebook."""
    interactive = sys.modules.get("IPython")
    shell = interactive.get_ipython() if interactive else None
    return [] if shell is None else list(shell.user_ns.get("In", []))


def _beside(exercise: Exercise) -> str | None:
    try:
        return Path(exercise.file_name).read_text(encoding="utf-8-sig", errors="surrogateescape")
    except OSError:
        return None
