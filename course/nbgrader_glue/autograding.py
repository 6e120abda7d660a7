"""The preprocessors of `nbgrader autograde`: put the notebook in order, grade it in our workers,
save the scores.

No kernel starts. `CourseRestore` is the first of the sanitizing ones, `CourseGrade` and
`CourseSave` stand in the autograding list where nbgrader has its own `Execute` and
`SaveAutoGrades`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from nbformat import from_dict
from nbgrader import utils
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Enum, Integer

from course.nbgrader_glue import (
    answer_sheet,
    feedback,
    score_changes,
    solution_cell,
    submission_metadata,
    write_outputs,
)
from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.grade_cell import GradingTerms, judge
from course.nbgrader_glue.notebook import KERNEL
from course.nbgrader_glue.released import page, released
from course.nbgrader_glue.restore_cells import PUT_BACK, restore
from course.nbgrader_glue.score_changes import Change
from graders.batch.grade_job import without_a_try
from graders.batch.jobs import GradeJob
from graders.registry.catalogue import Exercise
from graders.result import Outcome
from graders.sandbox.isolation import FOR_MARKS, LEVELS
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import items
from graders.submissions.submission_reader import Declared, explain, handed_in, papers

FORMAT = 4, 5  # of the notebooks that are written
WHY = "nbgrader autograde"  # what the log of changed scores says
KEY = "inference_kitchen"  # of the notebook's metadata: what restoring has to tell to grading


class CourseRestore(NbGraderPreprocessor):  # type: ignore[misc]
    """Puts the cells of a submission in order; see `restore_cells`."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Change the notebook in place.

        Which file is the part is decided here, where it was handed in, by the reader that everybody
        asks.
        """
        names = resources["nbgrader"]
        folder = Path(resources.get("metadata", {}).get("path") or os.devnull)
        exercise = solution_cell.exercise_of(names["notebook"])
        with Gradebook(names["db_url"]) as gradebook:
            known = released(gradebook, names["assignment"], names["notebook"])
        shown = page(CourseDirectory(config=self.config), names["assignment"], names["notebook"])
        found = restore(nb.cells, known, Declared.of(exercise).defines if exercise else (), shown)
        if exercise is not None:
            sheet = papers(items(folder), exercise).answers
            answers = answer_sheet.text(sheet.source, sheet.inner) if sheet else ""
            answer_sheet.fill_in(found.cells, exercise, answers)
        nb.cells = [from_dict(cell) for cell in identified(found.cells)]
        nb.nbformat, nb.nbformat_minor = FORMAT
        aside = {"notices": list(found.notices)}
        if exercise is not None:
            aside |= _part(exercise, folder, found.notices)
        nb.metadata = from_dict({"kernelspec": KERNEL, KEY: aside})
        for notice in aside["notices"]:
            self.log.warning("%s: %s", names["student"], notice)
        return nb, resources


class CourseGrade(NbGraderPreprocessor):  # type: ignore[misc]
    """Grades the part once and sets the outputs of the law cells; raises `Ungraded` when that
    cannot be had."""

    salt = Integer(
        None, allow_none=True, help="A secret number; with it a regrade is the same."
    ).tag(config=True)
    retries = Integer(2, help="How often a part that could not be judged is tried again.").tag(
        config=True
    )
    require_isolation = Enum(
        LEVELS, FOR_MARKS, help="Below this level of isolation nothing is graded."
    ).tag(config=True)
    laws_only = Bool(False, help="Leave the timed laws out; their scores stay as they are.").tag(
        config=True
    )

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Set the outputs. When there is no verdict an older score is taken back, lest it be
        mistaken for one."""
        names = resources["nbgrader"]
        directory = CourseDirectory(config=self.config)
        handed_in = directory.format_path(
            directory.submitted_directory, names["student"], names["assignment"]
        )
        submission_metadata.copy(
            Path(directory.root, handed_in), Path(resources["metadata"]["path"])
        )
        submission_metadata.complete(
            Path(resources["metadata"]["path"]), f"{names['notebook']}.ipynb"
        )
        try:
            self._grade(nb, names)
        except Ungraded:
            with Gradebook(names["db_url"]) as gradebook:
                where = names["assignment"], names["notebook"], names["student"]
                forget(gradebook, Path(directory.root), *where, WHY)
            raise
        return nb, resources

    def _grade(self, nb: Any, names: dict[str, str]) -> None:
        exercise = solution_cell.exercise_of(names["notebook"])
        if exercise is None:
            raise Ungraded(
                f"{names['notebook']} is no exercise of the course; grade it with nbgrader's own autograder."
            )
        aside = nb.metadata.pop(KEY, {})
        terms = GradingTerms(self.salt, self.retries, self.require_isolation, self.laws_only)
        if aside["problem"]:
            outcome = Outcome(aside["blame"])
            job = GradeJob(
                names["student"], exercise.number, "", exercise.file_name, "", aside["problem"]
            )
            result = without_a_try(job, job.problem, outcome, laws_only=self.laws_only)
        else:
            result = judge(exercise, aside["part"].encode("latin-1"), terms)
        write_outputs.mark(nb.cells, result, aside["found"], aside["notices"])
        nb.cells = [from_dict(cell) for cell in nb.cells]
        if result.needs_person:
            self.log.warning("%s: needs a person, no points: %s", names["student"], result.problem)
        else:
            self.log.info("%s: %g of %g points", names["student"], result.points, result.max_points)


class CourseSave(SaveAutoGrades):  # type: ignore[misc]
    """Saves the scores as nbgrader does, but no zero for a law that was not timed; flags tampering
    for a person."""

    def _add_score(self, cell: Any, resources: Any) -> None:
        names = resources["nbgrader"]
        where = (
            write_outputs.grade_id(cell),
            names["notebook"],
            names["assignment"],
            names["student"],
        )
        grade = self.gradebook.find_grade(*where)
        before = getattr(getattr(self.parent, "parent", None), "course_answers", {})
        change = rate(grade, cell, before.get(names["student"], {}))
        where = names["student"], names["assignment"], grade.name, score_changes.LAW
        home = Path(CourseDirectory(config=self.config).root)
        score_changes.note(home, [Change(*where, *change, WHY)])
        self.gradebook.db.commit()


def rate(grade: Any, cell: Any, answers: Mapping[str, str]) -> tuple[float | None, float | None]:
    """Set the automatic score and the flag from the cell, and commit nothing: the score before, and
    now.

    answers: the texts of the answers when they were last graded.
    """
    was = grade.auto_score, grade.needs_manual_grade
    if not _ends_in(cell, feedback.NOT_TIMED):
        grade.auto_score, _ = utils.determine_grade(cell)
        grade.needs_manual_grade = grade.auto_score is None or grade.manual_score is not None
    settle(grade, cell, was, answers)
    return was[0], grade.auto_score


def settle(
    grade: Any, cell: Any, was: tuple[float | None, bool], answers: Mapping[str, str]
) -> None:
    """Correct what nbgrader makes of a cell that was not judged, that a person has to look at, or
    has looked at.

    was: the automatic score and the flag before. answers: the texts of the answers when they were
    last graded.
    """
    if cell["metadata"].get(PUT_BACK) or _ends_in(cell, feedback.PERSON):
        grade.auto_score = None
        grade.needs_manual_grade = grade.manual_score is None
    elif _ends_in(cell, feedback.NOT_TIMED):
        leave(grade)
    elif _ends_in(cell, feedback.INVALID):
        grade.needs_manual_grade = grade.manual_score is None or was[0] != grade.auto_score
    elif grade.manual_score is not None:
        name = write_outputs.grade_id(cell)
        same = (
            answers[name] == cell["source"]
            if name in answers
            else was[0] is not None and was[0] == grade.auto_score
        )
        grade.needs_manual_grade = was[1] if same else True


def leave(grade: Any) -> None:
    """Nothing was timed: the score stays as it is, and no person is asked for one."""
    grade.needs_manual_grade = grade.manual_score is not None


def forget(
    gradebook: Any, home: Path, assignment: str, notebook: str, student: str, why: str
) -> None:
    """Take back the automatic scores of the laws, and log that in the course's folder; manual ones
    stay."""
    changes = []
    for grade in gradebook.find_submission_notebook(notebook, assignment, student).grades:
        if grade.name.startswith("law-"):
            where = student, assignment, grade.name, score_changes.LAW
            changes.append(Change(*where, grade.auto_score, None, f"{why}: no verdict"))
            grade.auto_score = None
            grade.needs_manual_grade = grade.manual_score is not None
    score_changes.note(home, changes)
    gradebook.db.commit()


def _ends_in(cell: Any, name: str) -> bool:
    """Whether the cell shows an error of this name."""
    return any(
        said["output_type"] == "error" and said["ename"] == name for said in cell.get("outputs", ())
    )


def identified(cells: list[Any]) -> list[Any]:
    """The cells, each with an id of its own, as `FORMAT` wants it."""
    for number, cell in enumerate(cells):
        cell["id"] = write_outputs.grade_id(cell) or f"cell-{number}"
    return cells


def _part(exercise: Exercise, folder: Path, notices: Sequence[str]) -> dict[str, Any]:
    """What of the folder is the part, as plain data: the bytes, where they were found, or why there
    are none."""
    try:
        found = handed_in(items(folder), exercise, folder.parent.name, alone=True)
    except UnusableSubmission as unusable:
        return {"problem": unusable.problem, "blame": unusable.outcome.value, "found": "nothing"}
    if found is None:
        missing = explain(items(folder), exercise, folder.parent.name)
        return {"problem": missing.problem, "blame": missing.outcome.value, "found": "nothing"}
    told = [*dict.fromkeys([*notices, *found.unused])]
    return {
        "problem": "",
        "part": found.data.decode("latin-1"),
        "found": found.where,
        "notices": told,
    }
