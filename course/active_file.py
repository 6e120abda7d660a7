"""What a learner wrote an exercise in: the file, or the notebook beside it."""

from __future__ import annotations

from pathlib import Path

from graders.registry.catalogue import Exercise
from graders.submissions.notebook import untouched
from graders.submissions.submission_reader import Declared, UnusableSubmission, take


def notebook_beside(file: Path, exercise: Exercise) -> Path:
    """Where the notebook of an exercise lies, there or not."""
    return file.with_name(f"{exercise.slug}.ipynb")


def written_in(notebook: Path, exercise: Exercise) -> bytes:
    """The text of the cell to write in; nothing when there is no such notebook, or the cell is still the stub."""
    try:
        data = take(notebook, Declared.of(exercise)).data
    except UnusableSubmission:
        return b""
    return b"" if untouched(data.decode("utf-8", "replace")) else data


def is_untouched(file: Path) -> bool:
    """Whether nothing was written in the file yet; a file that cannot be read was."""
    try:
        return untouched(take(file).data.decode("utf-8-sig", "replace"))
    except UnusableSubmission:
        return False


def in_use(file: Path, exercise: Exercise) -> Path:
    """The file; but if nothing was written in it, or it is gone, and something in the notebook beside it, that one."""
    notebook = notebook_beside(file, exercise)
    left_alone = is_untouched(file) if file.exists() else notebook.is_file()
    return notebook if left_alone and written_in(notebook, exercise) else file


def set_aside(file: Path, exercise: Exercise) -> Path | None:
    """The notebook that holds another text than the file which is in use; None when there is no such thing."""
    notebook = notebook_beside(file, exercise)
    if file == notebook:
        return None
    other = written_in(notebook, exercise)
    try:
        return notebook if other and other.strip() != take(file).data.strip() else None
    except UnusableSubmission:
        return None
