"""`course init DIR`: the exercises in a folder of the learner's own."""

from __future__ import annotations

import shlex
from pathlib import Path

import click

from course import progress
from course.errors import ExitCode, Problem
from course.exercise_text.lessons import LESSON
from course.exercise_text.questions import ANSWERS
from course.nbgrader_glue import notebook
from course.targets import solution_file, stub_of
from course.terminal import console
from course.workspace import Workspace, installed_root
from graders.registry.catalogue import exercises


@click.command("init")
@click.argument("folder", type=click.Path(path_type=Path), required=False)
@click.option(
    "--notebooks",
    is_flag=True,
    help="Also each exercise as a notebook; write there or in the file.",
)
def command(folder: Path | None, notebooks: bool) -> ExitCode:
    """Copy the exercises into FOLDER. Files that are there already are left as they are, so it also
    adds what an update of the course has brought."""
    if folder is None:
        raise Problem("name a folder to copy the exercises into, such as `course init kitchen`.")
    place = Workspace(folder)
    screen = console()
    try:
        written = _copy(place, notebooks=notebooks)
    except OSError as error:
        raise Problem(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    for path in written:
        screen.print(f"  {place.shown(path)}", soft_wrap=True)
    screen.print(
        f"{len(written)} files written."
        if written
        else "Nothing to add, everything is there already."
    )
    if notebooks:
        screen.print("`course check` judges a notebook where the file beside it is still the stub.")
    there = "" if folder.resolve() == Path.cwd() else f"cd {shlex.quote(str(folder))} && "
    screen.print(f"Next: {there}course lesson 1", soft_wrap=True)
    return ExitCode.PASS


def _copy(place: Workspace, *, notebooks: bool) -> list[Path]:
    written = []
    for exercise in exercises():
        if not exercise.laws or not _solved(exercise.slug, exercise.file_name):
            continue
        folder = place.exercises / exercise.slug
        folder.mkdir(parents=True, exist_ok=True)
        texts = {exercise.file_name: stub_of(exercise)}
        for name in (LESSON, ANSWERS):
            page = installed_root() / "exercises" / exercise.slug / name
            if page.is_file():
                texts[name] = page.read_text(encoding="utf-8")
        if notebooks:
            sheet = notebook.release(exercise, solution_file(exercise).parent)
            texts[f"{exercise.slug}.ipynb"] = notebook.text(sheet)
        for name, text in texts.items():
            if not (folder / name).exists():
                progress.replace_file(folder / name, text)
                written.append(folder / name)
    return written


def _solved(slug: str, file_name: str) -> bool:
    return (installed_root() / "solutions" / slug / file_name).is_file()
