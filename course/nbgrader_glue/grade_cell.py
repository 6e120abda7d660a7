"""The verdict on the part in a notebook: graded in the isolated workers, tried again when it could
not be judged."""

from __future__ import annotations

import hashlib
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path

from course.nbgrader_glue.feedback import Advisory, Ungraded, is_ungraded, reasons
from graders.batch import jobs
from graders.registry.catalogue import Exercise
from graders.result import ExerciseResult
from graders.sandbox.isolation.levels import FOR_MARKS

TOO_LOW = (
    "isolation {reached} is below {required}, which c.CourseGrade.require_isolation in nbgrader_config.py requires; "
    "no score. `course doctor --isolation` says what is missing here; grade on another machine, or require less."
)


@dataclass(frozen=True, slots=True)
class GradingTerms:
    """On which terms a course grades.

    salt: the course's secret from which the seed of every part is drawn, so that the same text is
    always tried with the same stories and no other text is; None draws anew each time. retries: how
    often a part that could not be judged is tried again. require: isolation below it is no verdict.
    laws_only: the timed laws are left out.
    """

    salt: int | None = None
    retries: int = 2
    require: str = FOR_MARKS
    laws_only: bool = False


def judge(exercise: Exercise, part: bytes, terms: GradingTerms) -> ExerciseResult:
    """Every law decided; without the seed, since students see what becomes of it.

    Raises `Ungraded` when that cannot be had after the retries; nothing is a zero then.
    """
    with tempfile.TemporaryDirectory(prefix="course-") as folder:
        path = Path(folder, exercise.file_name)
        path.write_bytes(part)
        for _ in range(terms.retries + 1):
            result = _once(exercise, path, terms)
            if not is_ungraded(result):
                break
    if is_ungraded(result):
        raise Ungraded(f"{exercise.title} could not be judged: {reasons(result)}")
    if result.advisory:
        raise Advisory(TOO_LOW.format(reached=result.isolation, required=terms.require))
    return replace(result, seed=0)


def seed_of(exercise: Exercise, data: bytes, salt: int) -> int:
    """The seed of a part: the same whenever it is graded in a course with this salt."""
    return jobs.seed_of(f"{exercise.number}/{hashlib.sha256(data).hexdigest()}", salt)


def _once(exercise: Exercise, path: Path, terms: GradingTerms) -> ExerciseResult:
    from graders.batch.grade_job import decide

    seed = None if terms.salt is None else seed_of(exercise, path.read_bytes(), terms.salt)
    return decide(exercise.number, path, seed, laws_only=terms.laws_only, require=terms.require)
