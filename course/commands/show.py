"""`course show N`: a drawing of what a part does, in the terminal or as SVG."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import click
from rich.text import Text

from course import workspace
from course.drawings import svg
from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.progress import replace_file
from course.targets import target
from course.terminal import console
from course.watchdog import stall_limit
from course.window.page import Window
from graders.registry.parts import PARTS

MOST = 3.0  # seconds of computing, as in `course check`


DRAWN = "".join(f"{part.number}  {part.drawn}\n" for part in PARTS if part.drawing)


@click.command("show", help=f"Draw what your part of EXERCISE does in a short run.\n\n\b\n{DRAWN}")
@click.argument("exercise")
@click.option(
    "--using", metavar="PART", default="mine", help="Draw this part: solutions, naive or a FILE."
)
@click.option(
    "--svg",
    "svg_file",
    type=click.Path(path_type=Path),
    help="Write the drawing to this file instead.",
)
@click.option(
    "--html",
    "html_file",
    type=click.Path(path_type=Path),
    help="Write it as a film to watch instead.",
)
def command(exercise: str, using: str, svg_file: Path | None, html_file: Path | None) -> ExitCode:
    """Draw what your part of EXERCISE does in a short run."""
    chosen = target(exercise).exercise
    choice = part_mix.choose(chosen.number, using, workspace.find_or_none())
    title = f"{chosen.title.capitalize()} · {chosen.name} · {choice.source}"
    screen = console()
    if html_file is not None:
        _film(choice, title).write(html_file)
        screen.print(f"Written: {html_file}", soft_wrap=True)
        if svg_file is None:
            return ExitCode.PASS
    heading = [Text(title, style="bold"), Text()]
    if svg_file is None:
        for line in heading:
            screen.print(line, soft_wrap=True)
    lines, trouble = _draw(choice)
    if svg_file is None:
        for line in lines:
            screen.print(line, soft_wrap=True)
    if trouble is not None:
        raise trouble
    if svg_file is None:
        return ExitCode.PASS
    try:
        replace_file(svg_file, svg.render([*heading, *lines], title))
    except OSError as error:
        raise Problem(f"{svg_file} cannot be written: {error.strerror}.") from error
    screen.print(f"Written: {svg_file}", soft_wrap=True)
    return ExitCode.PASS


def _film(choice: part_mix.PartChoice, title: str) -> Window:
    """The drawing as a film. `Problem` for what stops it."""
    with part_mix.told_apart(choice), _in_time(choice):
        film: Window = _filmed(choice)(choice.load(), title)
    return film


def _filmed(choice: part_mix.PartChoice) -> Callable[[Any, str], Window]:
    exercise, drawing = choice.exercise, _drawing(choice)
    if not hasattr(drawing, "window"):
        raise Problem(
            f"there is no film of {exercise.title}; course show {exercise.number} --svg FILE draws it."
        )
    window: Callable[[Any, str], Window] = drawing.window
    return window


def _drawing(choice: part_mix.PartChoice) -> Any:
    exercise = choice.exercise
    if not exercise.drawing:
        raise Problem(f"there is no drawing for {exercise.title}.")
    if exercise.needs and importlib.util.find_spec(exercise.needs) is None:
        raise Problem(f"{exercise.needs} is not installed here: pip install {exercise.needs}.")
    drawing = importlib.import_module(f"course.drawings.{exercise.drawing}")
    if hasattr(drawing, "ready"):  # what has to be there before the part is loaded
        drawing.ready()
    return drawing


def _in_time(choice: part_mix.PartChoice) -> AbstractContextManager[None]:
    return stall_limit(lambda: 0, [str(choice.path)], most=MOST)


def _draw(choice: part_mix.PartChoice) -> tuple[list[Text], Problem | None]:
    """The drawing, as far as it came, and what it stopped at."""
    lines: list[Text] = []
    drawing = _drawing(choice)
    try:
        with part_mix.told_apart(choice), _in_time(choice):
            for line in drawing.show(choice.load()):
                lines.append(line)
    except Problem as trouble:
        return lines, trouble
    return lines, None
