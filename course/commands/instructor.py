"""`course instructor`: a course for a class, from nothing to grades."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from pathlib import Path

import click

from course.click_types import ExerciseNumber
from course.errors import ExitCode, Problem
from course.targets import known
from course.terminal import console
from graders.registry.catalogue import Exercise, exercises
from graders.registry.law import choose as choose_laws
from graders.registry.parts import Number
from graders.sandbox.isolation import Limits

LEVELS = ("L1", "L2", "L3", "L4")
FOR_MARKS = "L2"  # as in graders.sandbox.isolation.levels, which a help text need not import
Numbers = tuple[Number, ...]

FOREIGN = (
    "{file} is there already and does not grade with this course: nbgrader would run what is handed in without any "
    "isolation. Move it aside, or name another folder, and put your own settings into the new one."
)

chosen = click.option(
    "--exercise",
    "-e",
    "numbers",
    type=ExerciseNumber(),
    multiple=True,
    metavar="N",
    help="Only this one; may be repeated.",
)
folder = click.argument("folder", type=click.Path(path_type=Path, file_okay=False))


@click.group("instructor")
def command() -> None:
    """Teach with the course: an nbgrader course, its answers in words, a kit for students, a bundle
    for Gradescope."""


@command.command("init")
@folder
@chosen
@click.option(
    "--course-id",
    default="inference_kitchen",
    show_default=True,
    help="The course's name in nbgrader.",
)
@click.option(
    "--renew", is_flag=True, help="Write source/ anew, for example after an update of the course."
)
def init(folder: Path, numbers: Numbers, course_id: str, renew: bool) -> ExitCode:
    """Make a complete nbgrader course in FOLDER. What is there already stays as it is."""
    from course.nbgrader_glue import course_folder

    if not re.fullmatch(r"[A-Za-z0-9_-]+", course_id):
        raise Problem(f"{course_id!r} is no course id: letters, digits, - and _ only.")
    screen = console()
    picked = choose(numbers)
    if not course_folder.is_ours(folder):
        raise Problem(FOREIGN.format(file=folder / "nbgrader_config.py"))
    try:
        written = course_folder.make(folder, picked, course_id, renew=renew)
    except OSError as error:
        raise Problem(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    for path in written.new:
        screen.print(f"  {path}", soft_wrap=True)
    kept = f", {len(written.kept)} were there already" if written.kept else ""
    screen.print(
        f"{len(written.new)} files written{kept}. {folder / 'README.md'} says how to go on.",
        soft_wrap=True,
    )
    screen.print(
        f"Next: cd {folder} && nbgrader generate_assignment {picked[0].slug}", soft_wrap=True
    )
    return ExitCode.PASS


@command.command("kit")
@folder
@chosen
def kit(folder: Path, numbers: Numbers) -> ExitCode:
    """Write what a student needs into FOLDER, without the solutions of the chosen exercises."""
    from course.authoring import kit as kits

    written = kits.export(folder, choose(numbers))
    screen = console()
    for path in written:
        screen.print(f"  {path}", soft_wrap=True)
    screen.print(f"{folder} is ready; its README.md is the student's first page.", soft_wrap=True)
    return ExitCode.PASS


@command.command("read")
@folder
@chosen
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Where to listen.  [default: any that is free]",
)
def read(folder: Path, numbers: Numbers, port: int) -> ExitCode:
    """Read the answers in plain words of the nbgrader course in FOLDER, question by question and
    without names, until Ctrl-C. Scores and comments go into its gradebook; the page is for this
    machine alone."""
    from course.nbgrader_glue import gradebook

    gradebook.expect(folder)
    with gradebook.reported(folder):
        from course.nbgrader_glue import answer_page, answer_sheets
        from course.nbgrader_glue.settings import settings

        sheets = answer_sheets.sheets(settings(folder), choose(numbers), every=bool(numbers))
    try:
        made, address = answer_page.server(sheets, port=port)
    except OSError as error:
        raise Problem(f"nothing can listen at port {port}: {error.strerror}.") from None
    screen = console()
    screen.print(f"Open {address} in a browser on this machine. Ctrl-C ends it.", soft_wrap=True)
    screen.file.flush()  # it may go through a pipe, and this is the last word for hours
    with made, contextlib.suppress(KeyboardInterrupt):
        made.serve_forever()
    return ExitCode.PASS


@command.group("bundle")
def bundle() -> None:
    """Pack an autograder for another system."""


@bundle.command("gradescope")
@folder
@click.option(
    "--exercise",
    "-e",
    "number",
    type=ExerciseNumber(),
    required=True,
    metavar="N",
    help="Which exercise it grades.",
)
@click.option("--laws-only", is_flag=True, help="Leave the timed laws out.")
@click.option(
    "--require-isolation",
    "require",
    type=click.Choice(LEVELS),
    default=FOR_MARKS,
    help="Less is no verdict.  [default: L2]",
)
def gradescope(folder: Path, number: Number, laws_only: bool, require: str) -> ExitCode:
    """Write an autograder for Gradescope into FOLDER."""
    from course.authoring import bundle as bundles

    exercise = choose((number,))[0]
    archive = bundles.gradescope(folder, exercise, require=require, laws_only=laws_only)
    memory = Limits(packages=exercise.torch).resident
    points = sum(law.points for law in choose_laws(exercise.laws, laws_only=laws_only))
    screen = console()
    screen.print(f"{archive} is ready to be uploaded.", soft_wrap=True)
    screen.print(
        f"On Gradescope: autograder points {points:g}, base image Ubuntu 24.04 or newer (Python 3.11), and more memory "
        f"than one worker may use, {memory >> 20} MiB, for the grader beside it. Answers in plain words are "
        "not judged there: give them a rubric question of their own.",
        soft_wrap=True,
    )
    return ExitCode.PASS


def choose(numbers: Sequence[Number]) -> list[Exercise]:
    """The exercises with these numbers, all for none. `Problem` for one that is not there."""
    ready = [exercise for exercise in exercises() if exercise.laws]
    return [known(number) for number in dict.fromkeys(numbers)] or ready
