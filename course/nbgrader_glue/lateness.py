"""What handing in late costs: computed whenever grades go out, from the scores as they stand then."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

from nbgrader.plugins import LateSubmissionPlugin
from nbgrader.preprocessors import AssignLatePenalties
from traitlets import Float

from course.nbgrader_glue.score_changes import LATE, Change
from graders.registry.catalogue import exercises
from graders.submissions import table
from graders.submissions.roster import Roster

DAY = 24 * 60 * 60
EXTENSIONS = "extensions.csv"  # beside nbgrader_config.py: id, assignment, days

Extensions = Mapping[tuple[str, str], timedelta]


class LateByDay(LateSubmissionPlugin):  # type: ignore[misc]
    """Takes a share of the score for every day begun, at most all of it."""

    per_day = Float(
        0.0, min=0.0, max=1.0, help="The share of the score that a day costs: 0.1 is 10 %."
    ).tag(config=True)
    grace_minutes = Float(0.0, min=0.0, help="So many minutes late is not late.").tag(config=True)

    def late_submission_penalty(
        self, student_id: str, score: float, total_seconds_late: float
    ) -> float | None:
        """The points to take away, None for none."""
        late = total_seconds_late - 60 * self.grace_minutes
        if late <= 0 or self.per_day == 0:
            return None
        return float(score * min(1.0, self.per_day * math.ceil(late / DAY)))


class BadExtensions(ValueError):
    """The file says something that nobody can follow; one sentence."""


def extensions(course: Path, gradebook: Any) -> Extensions:
    """Who has more time for what, as the file in the course's folder says; nobody else has. Raises
    BadExtensions.

    A line that would mean nothing is refused: whoever it was written for would be late, and nobody
    would know.
    """
    path = course / EXTENSIONS
    if not path.exists():
        return {}
    students = Roster(tuple(student.id for student in gradebook.students))
    assignments = {assignment.name for assignment in gradebook.assignments} | {
        each.slug for each in exercises()
    }
    found: dict[tuple[str, str], timedelta] = {}
    try:
        lines = table.read(path, "id")
    except table.BadTable as bad:
        raise BadExtensions(f"{path} {bad}.") from None
    for line in lines:
        who, what, where = (
            students.find([line["id"]]),
            line["assignment"],
            f"in line {line.number} of {path}",
        )
        if who is None:
            meant = students.near([line["id"]])
            near = f"; is it {meant}?" if meant else "."
            raise BadExtensions(
                f"{line['id'] or 'nobody'} {where} is no student of the gradebook{near}"
            )
        if what not in assignments:
            known = ", ".join(sorted(assignments))
            raise BadExtensions(
                f"{what or 'nothing'} {where} is no assignment; these are: {known}."
            )
        if (who, what) in found:
            raise BadExtensions(f"{who} has time for {what} twice, again {where}.")
        found[who, what] = _days(line["days"], where)
    return found


def _days(text: str, where: str) -> timedelta:
    try:
        days = timedelta(days=float(text.replace(",", ".")))
        if days >= timedelta():
            return days
    except (ValueError, OverflowError):
        pass
    raise BadExtensions(f"{text or 'nothing'} {where} is no number of days, such as 2 or 0.5.")


def days_late(gradebook: Any, course: Path) -> dict[tuple[str, str], float]:
    """By student and assignment, extensions counted. Raises BadExtensions."""
    given, found = extensions(course, gradebook), {}
    for assignment in (each for each in gradebook.assignments if each.duedate):
        for submission in (each for each in assignment.submissions if each.timestamp):
            more = given.get(
                (submission.student_id, assignment.name), submission.extension or timedelta()
            )
            days = (submission.timestamp - assignment.duedate - more) / timedelta(days=1)
            if days > 0:
                found[submission.student_id, assignment.name] = days
    return found


def penalize(gradebook: Any, parent: Any, given: Extensions) -> list[Change]:
    """Write the penalty of every submission anew; what changed. parent: whose configuration names
    the plugin."""
    changes = []
    penalties = AssignLatePenalties(parent=parent)
    penalties.init_plugin()
    for assignment in gradebook.assignments:
        for submission in assignment.submissions:
            extended = given.get((submission.student_id, assignment.name))
            if extended is not None:
                submission.extension = extended
            late = submission.total_seconds_late if assignment.duedate else 0
            who = submission.student_id
            for notebook in submission.notebooks:
                taken = (
                    penalties.plugin_inst.late_submission_penalty(who, notebook.score, late)
                    if late > 0
                    else None
                )
                now, before = (
                    max(0.0, min(taken or 0.0, notebook.score)),
                    notebook.late_submission_penalty or 0.0,
                )
                notebook.late_submission_penalty = now or None
                why = f"{late / DAY:.2f} days late, of {notebook.score:g} points"
                changes.append(Change(who, assignment.name, "", LATE, before, now, why))
    gradebook.db.commit()
    return changes
