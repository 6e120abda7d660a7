"""A judge that costs nothing, for tests of everything around one: which file is judged, who gets
the points, and where.

It reads a part as the real one does, and says what that says of one that cannot be read. Of another
the points follow from its text: equal texts get equal points, different texts different ones.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from graders import grading
from graders.batch import batch, grade_job
from graders.batch.batch import BatchResult
from graders.batch.journal import BatchPlan, Journal
from graders.batch.worker_loop import work
from graders.registry.catalogue import catalogue
from graders.registry.law import Law, choose
from graders.result import ExerciseResult, LawResult, Outcome
from graders.submissions.source import digest, read
from graders.submissions.submission_reader import Declared, UnusableSubmission

if TYPE_CHECKING:
    import pytest

REAL = grading.grade
HOME = Path(__file__).parent / "cheap"  # first in $PYTHONPATH it makes every process judge so


def install() -> None:
    """From now on whatever grades for marks in this process grades so."""
    grade_job.grade = grade


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    """As long as the patch lasts, batches are graded so, without a process of their own."""

    def here(journal: Journal, plan: BatchPlan, size: int, on_progress: object) -> BatchResult:
        work(journal, alone=True)
        return batch.close(journal, plan)

    patch.setattr(grade_job, "grade", grade)
    patch.setattr(batch, "run_locally", here)


def grade(
    exercise: int,
    submission: Path,
    *,
    seed: int | None = None,
    only: Iterable[str] | None = None,
    laws_only: bool = False,
    source: str = "",
    **rest: Any,
) -> ExerciseResult:
    """As `graders.grading.grade`."""
    entry = catalogue(exercise)
    try:
        part = read(submission, entry.class_name, Declared.of(entry))
        if part.lines and len(part.unwritten) == len(part.lines):
            raise UnusableSubmission("the untouched stub")
    except UnusableSubmission:
        return REAL(
            exercise, submission, seed=seed, only=only, laws_only=laws_only, source=source, **rest
        )
    text = digest(part.source)
    laws = tuple(_decided(law, text) for law in choose(entry.laws, only, laws_only=laws_only))
    name = source or submission.name
    return ExerciseResult(
        exercise, entry.name, name, laws, isolation="L4", seed=seed or 0, digest=text
    )


def points(exercise: int, text: str) -> float:
    """What a part with this text gets for the laws that are not timed."""
    laws = choose(catalogue(exercise).laws, laws_only=True)
    return sum(_decided(law, digest(text)).points for law in laws)


def _decided(law: Law, text: str) -> LawResult:
    held = hashlib.sha256(f"{law.number} {text}".encode()).digest()[0] % 3 > 0
    outcome, points, message = (
        (Outcome.PASS, law.points, "") if held else (Outcome.FAIL, 0.0, f"told by {text[:8]}")
    )
    return LawResult(law.number, law.name, law.statement, outcome, points, law.points, message)
