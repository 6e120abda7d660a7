"""What was handed in, made into jobs. Nothing is unpacked or run, nothing is refused for its name,
and whatever cannot be graded becomes a job with a problem: a row of the report like any other.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from graders.batch.jobs import UNKNOWN, GradeJob, Options, key_of
from graders.registry.catalogue import Exercise, exercises
from graders.registry.parts import Number
from graders.submissions.class_folder import Work, works
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import doubtful, unread
from graders.submissions.roster import Roster
from graders.submissions.submission_reader import HandIn, Papers, explain, handed_in, papers


@dataclass(frozen=True, slots=True)
class DiscoveredJob:
    """A job, and the bytes of its part; empty for a job with a problem."""

    job: GradeJob
    data: bytes = b""


class Discovery:
    """Makes jobs of one kind. wanted: numbers of exercises, or none for all that are found.

    With wanted exercises every student gets a row for each of them, handed in or not. one: every
    path is one student's, whatever is in it. roster: who is in the class; an empty one knows
    everybody. After `all`, `strangers` holds the names that it does not know, with the id that may
    have been meant or "".
    """

    def __init__(
        self,
        wanted: Collection[Number] = (),
        options: Options | None = None,
        *,
        one: bool = False,
        roster: Roster | None = None,
    ) -> None:
        self.one = one
        self.options = options or Options()
        self.roster = roster or Roster()
        self.every = tuple(
            exercise for exercise in exercises() if not wanted or exercise.number in wanted
        )
        self.insists = bool(wanted)
        self.strangers: dict[str, str] = {}

    def all(self, paths: Iterable[Path]) -> list[DiscoveredJob]:
        """Every job in all of `paths`, sorted.

        A file whose longer name only holds the name of somebody who handed in otherwise is not
        theirs: anybody can name a file so. It is a row of its own.
        """
        students: dict[str, list[Work]] = {}
        every = [
            (self._student(work), work)
            for path in paths
            for work in works(path, self.roster, one=self.one)
        ]
        certain = {student for student, work in every if not work.guessed}
        for student, work in every:
            if work.guessed and student in certain:
                students[work.home.name] = [_claimed(student, work)]
            else:
                students.setdefault(student, []).append(work)
        jobs = [job for student, found in students.items() for job in self._jobs(student, found)]
        return sorted(jobs, key=lambda each: each.job.order)

    def _student(self, work: Work) -> str:
        """The id of whoever handed it in."""
        known = self.roster.find(work.names) if self.roster else None
        if known is None and self.roster:
            self.strangers[work.names[0]] = self.roster.near(work.names) or ""
        return known or work.names[0]

    def _jobs(self, student: str, found: list[Work]) -> Iterator[DiscoveredJob]:
        """The jobs of one student, who may have handed in at several places."""
        home = found[0].home
        items = [item for work in found for item in work.items]
        count = 0
        for exercise in self.every:
            unusable = None
            try:
                part = handed_in(items, exercise, home.name, alone=len(self.every) == 1)
            except UnusableSubmission as raised:
                part, unusable = None, raised
            if part is None and unusable is None and not self.insists:
                continue
            count += 1
            if part is not None:
                made = self._handed(student, exercise, part)
            else:
                unusable = unusable or explain(items, exercise, home.name)
                made = self._problem(student, exercise.number, home, unusable)
            yield replace(made, job=_with_papers(made.job, papers(items, exercise)))
        if not count:
            yield self._problem(student, UNKNOWN, home, explain(items, None, home.name))

    def _handed(self, student: str, exercise: Exercise, part: HandIn) -> DiscoveredJob:
        name = exercise.file_name
        key = key_of(exercise.number, name, part.data, self.options)
        job = GradeJob(
            student, exercise.number, str(part.item.source), name, key, notices=part.unused
        )
        return DiscoveredJob(job, part.data)

    def _problem(
        self, student: str, exercise: Number, source: Path, unusable: UnusableSubmission
    ) -> DiscoveredJob:
        words = json.dumps([student, exercise, str(source), unusable.problem, asdict(self.options)])
        key = hashlib.sha256(words.encode()).hexdigest()
        outcome = unusable.outcome.value
        return DiscoveredJob(
            GradeJob(student, exercise, str(source), source.name, key, unusable.problem, outcome)
        )


def _with_papers(job: GradeJob, read: Papers) -> GradeJob:
    notebook, answers = (
        (str(item.source), item.inner) if item else ("", "")
        for item in (read.notebook, read.answers)
    )
    return replace(job, notebook=notebook, answers=answers)


def _claimed(student: str, work: Work) -> Work:
    problem = f"{work.home.name} is named for {student}, who handed in otherwise; whose is it?"
    return Work(
        (work.home.name,), work.home, (unread(work.home.name, work.home, doubtful(problem)),)
    )
