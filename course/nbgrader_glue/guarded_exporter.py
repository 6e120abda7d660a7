"""The exporter of `nbgrader autograde`: through it nothing of a hand-in but its notebook enters
autograded/.

nbgrader copies every file that was handed in beside the notebook, to where Formgrader serves it and
feedback is made of, and follows links while it does: to solutions, to neighbours, to its own
configuration. It makes its exporter, and names itself as the exporter's parent, before it looks at
any submission; that is where its two steps are guarded.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nbconvert.exporters import NotebookExporter
from nbformat import from_dict

from course.nbgrader_glue import submission_metadata
from course.nbgrader_glue.feedback import Ungraded
from course.nbgrader_glue.gradebook import check_name
from course.nbgrader_glue.notebook import release
from course.nbgrader_glue.solution_cell import exercise_of
from graders.registry.catalogue import Exercise
from graders.submissions.notebook import cells_of, washed
from graders.submissions.opened import UnusableSubmission, refuse_links
from graders.submissions.parcel import LARGEST_PARCEL, items
from graders.submissions.submission_reader import handed_in, papers

NOTHING = ["*"]  # what nbgrader is told to ignore when it copies
FORMAT = 4, 5  # of the notebooks that are made


class CourseExporter(NotebookExporter):  # type: ignore[misc]
    """Writes notebooks as nbgrader's own does. A submission that is refused is an error of its own
    in the log."""

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        if self.parent is not None:
            _guard(self.parent)

    def from_file(self, file_stream: Any, resources: Any = None, **keywords: Any) -> Any:
        """Of a hand-in the notebook that the reader of hand-ins takes, wherever it lies; of all
        else the file.

        Where none can be read and the part lies in a file of its own, the released notebook stands
        for it. Raises what nbformat does when there is no part either, `Ungraded` for a notebook
        that is too large.
        """
        path = Path(file_stream.name)
        exercise = exercise_of(path.stem)
        cells = (
            _cells(path.parent, exercise)
            if exercise and self._is_handed_in(path.parent, resources)
            else None
        )
        if cells is None:
            _refuse_large(path)
            return super().from_file(file_stream, resources=resources, **keywords)
        sheet = {"cells": cells, "metadata": {}, "nbformat": FORMAT[0], "nbformat_minor": FORMAT[1]}
        return self.from_notebook_node(from_dict(sheet), resources=resources, **keywords)

    def _is_handed_in(self, folder: Path, resources: Any) -> bool:
        names, directory = (
            (resources or {}).get("nbgrader"),
            getattr(self.parent, "coursedir", None),
        )
        if not names or directory is None:
            return False
        place = directory.format_path(
            directory.submitted_directory, names["student"], names["assignment"]
        )
        return Path(directory.root, place).resolve() == folder.resolve()


def _cells(folder: Path, exercise: Exercise) -> list[Any] | None:
    """The cells of the notebook that counts, the released ones beside a part in a file; None for
    neither."""
    found = items(folder)
    sheet = papers(found, exercise).notebook
    if sheet is not None:
        return cells_of(sheet.open(LARGEST_PARCEL))
    try:
        part = handed_in(found, exercise, folder.parent.name, alone=True)
    except UnusableSubmission:
        return None
    return [washed(cell) for cell in release(exercise)["cells"]] if part else None


def _refuse_large(path: Path) -> None:
    if path.stat().st_size > LARGEST_PARCEL:
        large = f"{path.stat().st_size / 2**20:.0f} MiB"
        raise Ungraded(
            f"{path.name} has {large}, too large for a notebook; ask for one without outputs."
        )


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
    """Raises Unusable when a link leads to the submission, or is what nbgrader or the course would
    read in it."""
    root = Path(directory.root)
    folder = Path(directory.format_path(step, student, assignment))
    exercise = exercise_of(assignment)
    read = [
        submission_metadata.TIME,
        submission_metadata.SECRET,
        *([exercise.file_name] if exercise else []),
    ]
    for path in (folder, *(folder / name for name in read), *folder.glob("*.ipynb")):
        refuse_links(path, root / step if path.is_relative_to(root / step) else root)
