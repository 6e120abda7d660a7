"""The preprocessors of `nbgrader autograde`: put the notebook in order, grade it in our workers, save the scores.

No kernel starts. `CourseRestore` is the first of the sanitizing ones, `CourseGrade` and `CourseSave` stand in the
autograding list where nbgrader has its own `Execute` and `SaveAutoGrades`.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from nbformat import from_dict
from nbgrader.api import Gradebook
from nbgrader.coursedir import CourseDirectory
from nbgrader.preprocessors import NbGraderPreprocessor, SaveAutoGrades
from traitlets import Bool, Enum, Integer

from course.nbgrader_glue import feedback, solution_cell, submission_metadata, write_outputs
from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.grade_cell import GradingTerms, judge
from course.nbgrader_glue.notebook import KERNEL
from course.nbgrader_glue.released import page, released
from course.nbgrader_glue.restore_cells import restore
from graders.registry.catalogue import Exercise
from graders.sandbox.isolation import FOR_MARKS, LEVELS
from graders.submissions.submission_reader import LARGEST_PARCEL, Declared, UnusableSubmission, take

FORMAT = 4, 5  # of the notebooks that are written
KEY = "inference_kitchen"  # of the notebook's metadata: what restoring has to tell to grading


class CourseRestore(NbGraderPreprocessor):  # type: ignore[misc]
    """Puts the cells of a submission in order; see `restore_cells`."""

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Change the notebook in place. Raises `Ungraded` for one that is too large.

        A file beside it is looked at here, where it was handed in: links are not followed.
        """
        names = resources["nbgrader"]
        folder = Path(resources.get("metadata", {}).get("path") or os.devnull)
        _refuse_large(folder / f"{names['notebook']}.ipynb")
        exercise = solution_cell.exercise_of(names["notebook"])
        with Gradebook(names["db_url"]) as gradebook:
            known = released(gradebook, names["assignment"], names["notebook"])
        shown = page(CourseDirectory(config=self.config), names["assignment"], names["notebook"])
        found = restore(nb.cells, known, Declared.of(exercise).defines if exercise else (), shown)
        nb.cells = [from_dict(cell) for cell in identified(found.cells)]
        nb.nbformat, nb.nbformat_minor = FORMAT
        aside = {"notices": list(found.notices), "beside": _beside(exercise, folder)}
        nb.metadata = from_dict({"kernelspec": KERNEL, KEY: aside})
        for notice in found.notices:
            self.log.warning("%s: %s", names["student"], notice)
        return nb, resources


class CourseGrade(NbGraderPreprocessor):  # type: ignore[misc]
    """Grades the part once and sets the outputs of the law cells; raises `Ungraded` when that cannot be had."""

    salt = Integer(None, allow_none=True, help="A secret number; with it a regrade is the same.").tag(config=True)
    retries = Integer(2, help="How often a part that could not be judged is tried again.").tag(config=True)
    require_isolation = Enum(LEVELS, FOR_MARKS, help="Below this level of isolation nothing is graded.").tag(
        config=True
    )
    laws_only = Bool(False, help="Leave the timed laws out; their scores stay as they are.").tag(config=True)

    def preprocess(self, nb: Any, resources: Any) -> tuple[Any, Any]:
        """Set the outputs. When there is no verdict an older score is taken back, lest it be mistaken for one."""
        names = resources["nbgrader"]
        directory = CourseDirectory(config=self.config)
        handed_in = directory.format_path(directory.submitted_directory, names["student"], names["assignment"])
        submission_metadata.copy(Path(directory.root, handed_in), Path(resources["metadata"]["path"]))
        submission_metadata.complete(Path(resources["metadata"]["path"]), f"{names['notebook']}.ipynb")
        try:
            self._grade(nb, names)
        except Ungraded:
            with Gradebook(names["db_url"]) as gradebook:
                forget(gradebook, names["assignment"], names["notebook"], names["student"])
            raise
        return nb, resources

    def _grade(self, nb: Any, names: dict[str, str]) -> None:
        exercise = solution_cell.exercise_of(names["notebook"])
        if exercise is None:
            raise Ungraded(
                f"{names['notebook']} is no exercise of the course; grade it with nbgrader's own autograder."
            )
        aside = nb.metadata.pop(KEY, {})
        cell = next((cell["source"] for cell in nb.cells if write_outputs.grade_id(cell) == exercise.slot), None)
        part = solution_cell.choose(exercise, cell, aside.get("beside"))
        terms = GradingTerms(self.salt, self.retries, self.require_isolation, self.laws_only)
        result = judge(exercise, part.text, terms)
        write_outputs.mark(nb.cells, result, part.found, aside.get("notices", ()))
        nb.cells = [from_dict(cell) for cell in nb.cells]
        self.log.info("%s: %g of %g points", names["student"], result.points, result.max_points)


class CourseSave(SaveAutoGrades):  # type: ignore[misc]
    """Saves the scores as nbgrader does, but no zero for a law that was not timed; flags tampering for a person."""

    def _add_score(self, cell: Any, resources: Any) -> None:
        names = resources["nbgrader"]
        where = (write_outputs.grade_id(cell), names["notebook"], names["assignment"], names["student"])
        if _ends_in(cell, feedback.NOT_TIMED):
            leave(self.gradebook.find_grade(*where))
        else:
            super()._add_score(cell, resources)
        if is_flagged(cell):
            self.gradebook.find_grade(*where).needs_manual_grade = True
        self.gradebook.db.commit()


def is_flagged(cell: Any) -> bool:
    """Whether a person has to look at this cell: its law was found invalid."""
    return _ends_in(cell, feedback.INVALID)


def leave(grade: Any) -> None:
    """Nothing was timed: the score stays as it is, and no person is asked for one."""
    grade.needs_manual_grade = grade.manual_score is not None


def forget(gradebook: Any, assignment: str, notebook: str, student: str) -> None:
    """Take back the automatic scores of the laws; manual ones stay."""
    for grade in gradebook.find_submission_notebook(notebook, assignment, student).grades:
        if grade.name.startswith("law-"):
            grade.auto_score = None
            grade.needs_manual_grade = grade.manual_score is not None
    gradebook.db.commit()


def _ends_in(cell: Any, name: str) -> bool:
    """Whether the cell shows an error of this name."""
    return any(said["output_type"] == "error" and said["ename"] == name for said in cell.get("outputs", ()))


def identified(cells: list[Any]) -> list[Any]:
    """The cells, each with an id of its own, as `FORMAT` wants it."""
    for number, cell in enumerate(cells):
        cell["id"] = write_outputs.grade_id(cell) or f"cell-{number}"
    return cells


def _refuse_large(path: Path) -> None:
    if path.is_file() and path.stat().st_size > LARGEST_PARCEL:
        large = f"{path.stat().st_size / 2**20:.0f} MiB"
        raise Ungraded(f"{path.name} has {large}, too large for a notebook; ask for one without outputs.")


def _beside(exercise: Exercise | None, folder: Path) -> str | None:
    """The text of the exercise's file beside the notebook, None when there is none that may be read."""
    if exercise is None:
        return None
    try:
        return take(folder / exercise.file_name).data.decode("utf-8-sig", "replace")
    except UnusableSubmission:
        return None
