"""What a learner wrote an exercise in: the file, or the notebook beside it. What counts here counts
when handed in."""

from __future__ import annotations

from pathlib import Path

from graders.registry.catalogue import Exercise
from graders.submissions.notebook import untouched
from graders.submissions.source import UnusableSubmission, decode, digest
from graders.submissions.submission_reader import Declared, take


def notebook_beside(file: Path, exercise: Exercise) -> Path:
    """Where the notebook of an exercise lies, there or not."""
    return file.with_name(f"{exercise.slug}.ipynb")


def written_in(path: Path, exercise: Exercise) -> str:
    """The text of a file, or of a notebook's cell to write in; nothing when it is the stub, or
    cannot be read."""
    return "" if not path.exists() or is_untouched(path, exercise) else text_of(path, exercise)


def is_untouched(path: Path, exercise: Exercise) -> bool:
    """Whether nothing was written in the file or notebook yet; one that cannot be read was."""
    text = text_of(path, exercise)
    return bool(text) and untouched(text)


def in_use(file: Path, exercise: Exercise) -> Path:
    """The notebook beside the file if anything is written in its cell, else the file.

    A notebook that cannot be read counts beside a stub: whoever is told of the stub would look in
    the wrong place.
    """
    notebook = notebook_beside(file, exercise)
    if not notebook.is_file() or written_in(notebook, exercise):
        return notebook if notebook.is_file() else file
    left_alone = not file.exists() or is_untouched(file, exercise)
    return notebook if left_alone and not is_untouched(notebook, exercise) else file


def text_of(path: Path, exercise: Exercise) -> str:
    """The text of a part, in a file or a notebook; nothing when it cannot be read."""
    try:
        taken = take(path, Declared.of(exercise))
        return decode(taken.name, taken.data)
    except UnusableSubmission:
        return ""


def current_digest(file: Path, exercise: Exercise) -> str:
    """The digest of what counts now, by which verdicts are remembered. file: the learner's, there
    or not."""
    return digest(text_of(in_use(file, exercise), exercise))


def set_aside(path: Path, exercise: Exercise) -> Path | None:
    """Of file and notebook the one that holds another text than `path`, which is in use; None for
    no such thing."""
    notebook = notebook_beside(path, exercise)
    other = path.with_name(exercise.file_name) if path == notebook else notebook
    text = written_in(other, exercise)
    return other if text and text.strip() != text_of(path, exercise).strip() else None
