"""`course submit N`: the part of an exercise as one zip file, and what is in it."""

from __future__ import annotations

import hashlib
import io
import zipfile
from pathlib import Path

import click

from course.active_file import set_aside
from course.check_request import submission
from course.errors import ExitCode, Problem
from course.exercise_text.questions import ANSWERS, answers, unanswered
from course.targets import target
from course.terminal import console
from course.workspace import find_or_none
from graders.batch.storage import replace
from graders.registry.catalogue import Exercise
from graders.submissions.parcel import LARGEST_PARCEL, regular
from graders.submissions.source import Submission, read
from graders.submissions.submission_reader import Declared, UnusableSubmission, take

EPOCH = (1980, 1, 1, 0, 0, 0)  # equal parts make equal archives


@click.command("submit")
@click.argument("exercise")
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    help="The archive.  [default: exN_NAME.zip]",
)
@click.option("--force", is_flag=True, help="Replace the archive if it is there already.")
def command(exercise: str, output: Path | None, force: bool) -> ExitCode:
    """Pack your part of EXERCISE (such as 1) for handing it in.

    The archive holds the one file that is judged; if you wrote in the notebook, the text of its
    cell. Beside it lie the notebook and your answers (`course explain`), if there are any. Nothing
    is run or sent; hand the archive in where your course says.
    """
    chosen = target(exercise.partition(".")[0]).exercise
    path, shown, _ = submission(chosen, "mine", find_or_none())
    if path.suffix == ".ipynb":
        shown = f"the cell in {shown}"
    part = _read(path, chosen)
    data = take(path, Declared.of(chosen)).data
    archive = output or Path(f"{chosen.slug}.zip")
    if archive.exists() and not force:
        raise Problem(
            f"{archive} is there already; --force replaces it, --output FILE names another."
        )
    sheet, notebook = (
        _answers(path.with_name(ANSWERS)),
        _notebook(path.with_name(f"{chosen.slug}.ipynb")),
    )
    _write(archive, pack(chosen, data, sheet, notebook))
    _tell(archive, chosen, shown, data, part)
    if notebook:
        console().print(
            f"  {chosen.slug}/{chosen.slug}.ipynb   {len(notebook)} bytes", soft_wrap=True
        )
    _tell_answers(chosen, sheet, notebook)
    if other := set_aside(path, chosen):
        console().print(
            f"What you wrote in {other.name} is another text and not in the archive.",
            style="yellow",
        )
    return ExitCode.PASS


def pack(exercise: Exercise, data: bytes, sheet: bytes = b"", notebook: bytes = b"") -> bytes:
    """The archive: the declared file in the folder of its exercise, answers and notebook if there
    are any.

    Equal parts and answers make equal bytes.
    """
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        beside = ((ANSWERS, sheet), (f"{exercise.slug}.ipynb", notebook))
        for name, content in ((exercise.file_name, data), *beside):
            if content or name == exercise.file_name:
                entry = zipfile.ZipInfo(f"{exercise.slug}/{name}", EPOCH)
                entry.compress_type = zipfile.ZIP_DEFLATED
                entry.external_attr = 0o100644 << 16
                archive.writestr(entry, content)
    return out.getvalue()


def _answers(path: Path) -> bytes:
    """The learner's answers; nothing when there are none. `Problem` when they cannot be read."""
    if not path.exists():
        return b""
    try:
        sheet = take(path).data
    except UnusableSubmission as unusable:
        raise Problem(f"{unusable.problem} Nothing was packed.", ExitCode.FAIL) from None
    return sheet if any(answers(sheet.decode("utf-8", "replace"))) else b""


def _notebook(path: Path) -> bytes:
    """The notebook beside the part, nothing for none. `Problem` when it cannot be handed in as it
    is."""
    try:
        return regular(path, path.name, LARGEST_PARCEL, path.parent) if path.exists() else b""
    except UnusableSubmission as unusable:
        raise Problem(
            f"{unusable.problem} Clear its outputs and save it. Nothing was packed."
        ) from None


def _read(path: Path, exercise: Exercise) -> Submission:
    """The part as the grader will see it; `Problem` when it would be refused at the door."""
    try:
        part = read(path, exercise.class_name, Declared.of(exercise))
    except UnusableSubmission as unusable:
        raise Problem(f"{unusable.problem} Nothing was packed.", ExitCode.FAIL) from None
    if part.lines and len(part.unwritten) == len(part.lines):
        raise Problem(
            f"{part.name} is the untouched stub: there is nothing to hand in yet.", ExitCode.FAIL
        )
    return part


def _write(archive: Path, data: bytes) -> None:
    try:
        archive.parent.mkdir(parents=True, exist_ok=True)
        replace(archive, data)  # whole or not at all: half an archive would block the next try
    except OSError as error:
        raise Problem(f"{archive} cannot be written: {error.strerror}.") from None


def _tell(archive: Path, exercise: Exercise, shown: str, data: bytes, part: Submission) -> None:
    screen = console()
    screen.print(f"{archive}, {exercise.title}, {exercise.name}. In it:", soft_wrap=True)
    lines = data.count(b"\n") + 1
    screen.print(
        f"  {exercise.slug}/{exercise.file_name}   {len(data)} bytes, {lines} lines, from {shown}",
        soft_wrap=True,
    )
    screen.print(f"  sha256 {hashlib.sha256(data).hexdigest()}", soft_wrap=True)
    if part.unwritten:
        screen.print(
            f"Not written yet: {', '.join(part.unwritten)}.", soft_wrap=True, style="yellow"
        )
    screen.print(f"How it will be judged: course grade {archive}", soft_wrap=True)


def _tell_answers(exercise: Exercise, sheet: bytes, notebook: bytes) -> None:
    screen, text = console(), sheet.decode("utf-8", "replace")
    if not sheet and notebook:
        screen.print("The answers are those in the notebook.", soft_wrap=True)
        return
    if not sheet:
        screen.print(
            f"No answers to the questions in it: course explain {exercise.number}", soft_wrap=True
        )
        return
    screen.print(f"  {exercise.slug}/{ANSWERS}   your answers", soft_wrap=True)
    if missing := unanswered(text):
        screen.print(f"Not answered yet: question {', '.join(map(str, missing))}.", style="yellow")
