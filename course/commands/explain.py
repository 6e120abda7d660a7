"""`course explain N`: the questions of an exercise, answered in the editor; `course submit` packs
the answers."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from course import workspace
from course.errors import ExitCode, Problem
from course.exercise_text.questions import ANSWERS, answers, unanswered
from course.progress import replace_file
from course.targets import learner_file, readable, target
from course.terminal import console
from graders.registry.catalogue import Exercise


@click.command("explain")
@click.argument("exercise")
def command(exercise: str) -> ExitCode:
    """Answer the questions of EXERCISE (such as 1) in plain words, in your editor ($VISUAL or
    $EDITOR).

    The answers stay in explain.md beside your part, and `course submit` packs them. A person reads
    them; nothing here judges them.
    """
    place = workspace.find()
    chosen = target(exercise).exercise
    sheet = _sheet(place, chosen)
    opened = sys.stdin.isatty() and sys.stdout.isatty()
    if opened:
        _edit(sheet)
    text = readable(sheet, "it holds your answers.").read_text(encoding="utf-8", errors="replace")
    screen, open_ones = console(), unanswered(text)
    count = len(answers(text))
    screen.print(
        f"{place.shown(sheet)}: {count - len(open_ones)} of {count} questions answered.",
        soft_wrap=True,
    )
    number = chosen.number
    if not open_ones:
        screen.print(f"Next: course submit {number}")
    elif opened:
        screen.print(f"Go on with: course explain {number}")
    else:
        screen.print(
            f"Next: write into {place.shown(sheet)}; in a terminal this opens $EDITOR on it.",
            soft_wrap=True,
        )
    return ExitCode.PASS


def _sheet(place: workspace.Workspace, exercise: Exercise) -> Path:
    """The learner's file of answers, made now if it is not there yet."""
    sheet = learner_file(place, exercise).with_name(ANSWERS)
    if sheet.exists():
        return sheet
    blank = workspace.installed_root() / "exercises" / exercise.slug / ANSWERS
    if not blank.is_file():
        raise Problem(f"{exercise.title} has no questions in this installation.")
    try:
        sheet.parent.mkdir(parents=True, exist_ok=True)
        replace_file(sheet, blank.read_text(encoding="utf-8"))
    except OSError as error:
        raise Problem(f"{sheet} cannot be written: {error.strerror}.") from error
    return sheet


def _edit(sheet: Path) -> None:
    try:
        click.edit(filename=str(sheet))
    except click.ClickException as trouble:
        raise Problem(
            f"the editor did not start ({trouble.message}); set $EDITOR, or open {sheet}."
        ) from None
