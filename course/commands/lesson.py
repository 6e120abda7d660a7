"""`course lesson N`: the lesson of an exercise, to be read in the terminal."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import click

from course import workspace
from course.errors import ExitCode, Problem
from course.targets import target
from course.terminal import clean, console
from graders.registry.catalogue import Exercise

LESSON = "README.md"
WIDEST = 100  # columns of text that an eye follows


@click.command("lesson")
@click.argument("exercise")
def command(exercise: str) -> ExitCode:
    """Read the lesson of EXERCISE, such as 1: the idea, the laws, what to expect in numbers."""
    from rich.markdown import Markdown

    text = clean(_lesson(target(exercise).exercise))
    screen = console()
    screen.width = min(screen.width, WIDEST) if screen.is_terminal else WIDEST
    with _pages(screen):
        screen.print(Markdown(text))
    return ExitCode.PASS


def _lesson(exercise: Exercise) -> str:
    """The learner's own copy if there is one, which may have notes in it; else the one the course
    came with."""
    place = workspace.find_or_none()
    homes = [place.exercises] if place else []
    for home in (*homes, workspace.installed_root() / "solutions"):
        path = Path(home, exercise.slug, LESSON)
        if path.is_file():
            try:
                return path.read_text(encoding="utf-8", errors="replace")
            except OSError as error:
                raise Problem(
                    f"{path} cannot be read ({os.strerror(error.errno or 0)})."
                ) from error
    raise Problem(f"the lesson of {exercise.title} is not in this installation.")


def _pages(screen: Any) -> AbstractContextManager[Any]:
    """A pager where a person looks; it ends at once when everything fits on the screen."""
    if not screen.is_terminal:
        return nullcontext()
    os.environ.setdefault("LESS", "-FRX")
    pages: AbstractContextManager[Any] = screen.pager(styles=True)
    return pages
