"""One row of a report: one student, one exercise, one result."""

from __future__ import annotations

from dataclasses import dataclass

from graders.registry.parts import Number, place
from graders.reports.plain import person
from graders.result import ExerciseResult


@dataclass(frozen=True, slots=True)
class Row:
    """student: as handed in, any text. source: the path of what was handed in. key: names the job.

    quarantined: more than two tries ended ungraded; a person has to look. attempts: why earlier
    tries did. notices: what was handed in and not judged. notebook, answers: the file or archive
    with the notebook or the sheet of answers that was handed in, and its name in that archive.
    called: how reports for people call the student, where somebody else in them looks alike.
    """

    student: str
    exercise: Number
    result: ExerciseResult
    source: str = ""
    key: str = ""
    quarantined: bool = False
    attempts: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    notebook: tuple[str, str] = ("", "")
    answers: tuple[str, str] = ("", "")
    called: str = ""

    @property
    def shown(self) -> str:
        """The student in a report for people."""
        return self.called or person(self.student)

    @property
    def problem(self) -> str:
        """One sentence when nothing could be judged."""
        return self.result.problem

    @property
    def who(self) -> tuple[str, Number]:
        """Student and exercise: of a batch the only row of the two."""
        return self.student, self.exercise

    @property
    def order(self) -> tuple[str, tuple[int, str]]:
        """Sorting key: by student, then exercise."""
        return self.student, place(self.exercise)
