"""`course solution N`: the solved part, for those who have passed or given up."""

from __future__ import annotations

import sys

import click

from course import progress, workspace
from course.errors import ExitCode, Problem
from course.targets import solution_file, target
from course.terminal import console


@click.command("solution")
@click.argument("exercise")
@click.option(
    "--give-up", is_flag=True, help="Show it although you have not passed. This is remembered."
)
def command(exercise: str, give_up: bool) -> ExitCode:
    """Show the solution of EXERCISE, once you have passed it or with --give-up."""
    chosen = target(exercise).exercise
    path = solution_file(chosen)
    place = workspace.find_or_none()
    memory = progress.load(place.memory if place else None)
    passed = memory.passed(chosen.number)
    if not (passed or give_up or memory.gave_up(chosen.number)):
        raise Problem(
            f"the solution of {chosen.title} is shown once you have passed it. A smaller step: "
            f"`course hint {chosen.number}`. To see it anyway: `course solution {chosen.number} --give-up`.",
            ExitCode.FAIL,
        )
    if give_up and not passed:
        memory.record_gave_up(chosen.number)
        memory.save_or_say()
    _print(path.read_text(encoding="utf-8"))
    return ExitCode.PASS


def _print(text: str) -> None:
    """In colours on a terminal; to the letter where it is piped or redirected."""
    screen = console()
    if not screen.is_terminal or screen.no_color:
        sys.stdout.write(text)
        return
    from rich.syntax import Syntax

    screen.print(Syntax(text, "python", background_color="default"))
