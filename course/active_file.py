"""What a learner wrote an exercise in: the file, or the notebook beside it."""

from __future__ import annotations

from pathlib import Path

from graders.registry.catalogue import Exercise
from graders.submissions.notebook import untouched
from graders.submissions.source import UnusableSubmission, decode
from graders.submissions.submission_reader import Declared, take


def notebook_beside(file: Path, exercise: Exercise) -> Path:
    """Where the notebook of an exercise lies, there or not."""
    return file.with_name(f"{exercise.slug}.ipynb")


def written_in(notebook: Path, exercise: Exercise) -> str:
    """The text of the cell to write in; nothing when there is no such notebook, or the cell is still the stub."""
    return "" if not notebook.exists() or is_untouched(notebook, exercise) else text_of(notebook, exercise)


def is_untouched(path: Path, exercise: Exercise) -> bool:
    """Whether nothing was written in the file or notebook yet; one that cannot be read was."""
    text = text_of(path, exercise)
    return bool(text) and untouched(text)


def in_use(file: Path, exercise: Exercise) -> Path:
    """The file; but if nothing was written in it, or it is gone, and something in the notebook beside it, that one.

    A notebook that cannot be read counts as written in: whoever is told of the stub would look in the wrong place.
    """
    notebook = notebook_beside(file, exercise)
    if not notebook.is_file() or (file.exists() and not is_untouched(file, exercise)):
        return file
    return file if is_untouched(notebook, exercise) else notebook


def text_of(path: Path, exercise: Exercise) -> str:
    """The text of a part, in a file or a notebook; nothing when it cannot be read."""
    try:
        taken = take(path, Declared.of(exercise))
        return decode(taken.name, taken.data)
    except UnusableSubmission:
        return ""


def set_aside(file: Path, exercise: Exercise) -> Path | None:
    """The notebook that holds another text than the file which is in use; None when there is no such thing."""
    notebook = notebook_beside(file, exercise)
    if file == notebook:
        return None
    other = written_in(notebook, exercise)
    return notebook if other and other.strip() != text_of(file, exercise).strip() else None
