"""The exporter of `nbgrader autograde`: through it nothing of a hand-in but its notebook enters autograded/.

nbgrader copies every file that was handed in beside the notebook, to where Formgrader serves it and feedback is made
of, and follows links while it does: to solutions, to neighbours, to its own configuration. It makes its exporter, and
names itself as the exporter's parent, before it looks at any submission; that is where its two steps are guarded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter

from course.nbgrader_glue import submission_metadata
from course.nbgrader_glue.gradebook import check_name
from course.nbgrader_glue.solution_cell import exercise_of
from graders.submissions.opened import refuse_links

NOTHING = ["*"]  # what nbgrader is told to ignore when it copies


class CourseExporter(NotebookExporter):  # type: ignore[misc]
    """Writes notebooks as nbgrader's own does. A submission that is refused is an error of its own in the log."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        if self.parent is not None:
            _guard(self.parent)


def _guard(converter: Any) -> None:
    """Look at a submission before nbgrader opens anything of it; let it copy nothing."""
    begin, copy = converter.init_destination, converter.init_assignment

    def begin_guarded(assignment: str, student: str) -> bool:
        check_name(student)
        refuse(converter.coursedir, converter.coursedir.submitted_directory, student, assignment)
        return bool(begin(assignment, student))

    def copy_nothing(assignment: str, student: str) -> None:
        directory = converter.coursedir
        before, directory.ignore = directory.ignore, NOTHING
        try:
            copy(assignment, student)
        finally:
            directory.ignore = before

    converter.init_destination, converter.init_assignment = begin_guarded, copy_nothing


def refuse(directory: Any, step: str, student: str, assignment: str) -> None:
    """Raises Unusable when a link leads to the submission, or is what nbgrader or the course would read in it."""
    root = Path(directory.root)
    folder = Path(directory.format_path(step, student, assignment))
    exercise = exercise_of(assignment)
    read = [submission_metadata.TIME, submission_metadata.SECRET, *([exercise.file_name] if exercise else [])]
    for path in (folder, *(folder / name for name in read), *folder.glob("*.ipynb")):
        refuse_links(path, root / step if path.is_relative_to(root / step) else root)
