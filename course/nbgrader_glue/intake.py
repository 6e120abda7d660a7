"""Before `nbgrader autograde`: what was handed in is put where nbgrader looks for it.

nbgrader sees notebooks alone, under one name. Whoever hands in a `.py` file, an archive or a
notebook that a browser renamed would have handed in nothing; so the released notebook is put beside
it, and the reader of hand-ins decides as everywhere which file is the part, and whose answers are
read. What an interrupted run left unfinished is begun anew.
"""

from __future__ import annotations

import glob
import json
import os
import shutil
import warnings
from pathlib import Path
from typing import Any

from nbgrader.api import Gradebook
from nbgrader.converters import Autograde
from sqlalchemy.exc import SAWarning

from course.nbgrader_glue import notebook, submission_metadata
from course.nbgrader_glue.solution_cell import exercise_of
from course.nbgrader_glue.write_outputs import grade_id
from course.progress import replace_file
from graders.registry.catalogue import Exercise
from graders.submissions import roster
from graders.submissions.opened import UnusableSubmission, refuse_links
from graders.submissions.parcel import items
from graders.submissions.roster import Roster

Sources = dict[str, str]  # grade_id -> text of a cell
INSTALLED = "course_intake"


def install() -> None:
    """From now on every autograding of this process begins here. Written in nbgrader_config.py.

    What nbgrader's own use of its database makes SQLAlchemy say at every submission is left out of
    the log.
    """
    warnings.filterwarnings("ignore", "Object of type .* not in session", SAWarning)
    if hasattr(Autograde, INSTALLED):
        return
    find_notebooks = Autograde.init_notebooks

    def init_notebooks(self: Any) -> None:
        self.course_answers = {}
        exercise = exercise_of(self.coursedir.assignment_id)
        places = glob.glob(
            self._format_source(self.coursedir.assignment_id, self.coursedir.student_id)
        )
        if exercise is not None:
            for place in sorted(places):
                _prepare(self, Path(place), exercise)
        find_notebooks(self)
        for place in _strangers(self, places):
            self.assignments.pop(place, None)

    Autograde.init_notebooks = init_notebooks
    setattr(Autograde, INSTALLED, True)


def answers(path: Path) -> Sources:
    """The answers in plain words in an autograded notebook; none where there is no such thing."""
    try:
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        return {
            grade_id(cell): "".join(cell["source"])
            for cell in cells
            if cell["cell_type"] == "markdown"
        }
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def _prepare(converter: Any, folder: Path, exercise: Exercise) -> None:
    """One student's folder, as nbgrader wants it."""
    student = folder.parent.name
    graded = Path(
        converter.coursedir.format_path(
            converter.coursedir.autograded_directory, student, exercise.slug
        )
    )
    sheet = graded / f"{exercise.slug}.ipynb"
    converter.course_answers[student] = answers(sheet)
    try:
        refuse_links(folder, folder.parents[1])
        submission_metadata.straighten(folder)
        put_in_place(folder, exercise)
    except (OSError, UnusableSubmission) as trouble:
        converter.log.error("%s: %s", student, trouble)
    if graded.is_dir() and not _is_finished(sheet, exercise):
        converter.log.warning("%s: an earlier run did not come to its end; graded again", student)
        shutil.rmtree(graded)


def put_in_place(folder: Path, exercise: Exercise) -> None:
    """Put a notebook where nbgrader looks for one, if something else was handed in. The reader
    knows it for ours."""
    target = folder / f"{exercise.slug}.ipynb"
    handed_in = [item for item in items(folder) if item.name not in submission_metadata.FILES]
    if handed_in and not os.path.lexists(target):
        sheet = notebook.release(exercise)
        sheet["metadata"]["course_placed"] = True
        replace_file(target, notebook.text(sheet))


def _is_finished(sheet: Path, exercise: Exercise) -> bool:
    """Whether an autograded notebook has its verdict: outputs in the cell of the part."""
    try:
        cells = json.loads(sheet.read_text(encoding="utf-8"))["cells"]
        return any(cell.get("outputs") for cell in cells if grade_id(cell) == exercise.slot)
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _strangers(converter: Any, places: list[str]) -> list[str]:
    """The folders that are some student's of the roster under another writing of the name: they
    wait. Whoever may only be meant is named."""
    with Gradebook(converter.coursedir.db_url, converter.coursedir.course_id) as gradebook:
        known = Roster(tuple(student.id for student in gradebook.students))
    stated = Path(converter.coursedir.root, "students.csv")
    try:
        listed = roster.read(stated)
        known = Roster(known.ids, listed.elsewhere, listed.logins)
    except roster.BadRoster:
        pass
    found = []
    for place in sorted(places):
        name = Path(place).parent.name
        meant = known.find([name]) if name not in known.ids else None
        if meant:
            words = "submitted/%s is nobody on the roster, but %s is; rename the folder, then autograde again"
            converter.log.error(words, name, meant)
            found.append(place)
        elif known and name not in known.ids:
            near = known.near([name])
            words = "submitted/%s is nobody on the roster%s; nbgrader takes them in unless create_student is False"
            converter.log.warning(words, name, f" (is it {near}?)" if near else "")
    return found
