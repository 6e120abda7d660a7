"""`course hint N.k`: three hints for a law, one more each time it is asked."""

from __future__ import annotations

import click
from rich.text import Text

from course import progress, rendering, workspace
from course.errors import ExitCode, Problem
from course.targets import Target, target
from course.terminal import console
from graders.registry.law import Law
from graders.result import Outcome

LEVELS = 3
MARGIN = Text("  ")


@click.command("hint")
@click.argument("law")
@click.option("--level", type=click.IntRange(1, LEVELS), help="Show hints up to this level: 1, 2 or 3.")
def command(law: str, level: int | None) -> ExitCode:
    """A hint for LAW, such as 1.4; ask again and it says more.

    The first says where to look, the second the idea, the third almost the code. With an exercise alone, such as 1,
    the hint is for its first law that does not hold yet.
    """
    place = workspace.find_or_none()
    memory = progress.load(place.memory if place else None)
    asked = _law(target(law), memory)
    level = level or min(memory.hint_level(asked.number) + 1, LEVELS)
    _print(asked, level)
    memory.record_hint(asked.number, level)
    try:
        memory.save()
    except progress.NotSaved as trouble:
        console(stderr=True).print(str(trouble), style="yellow", soft_wrap=True)
    return ExitCode.PASS


def _law(asked: Target, memory: progress.Progress) -> Law:
    if asked.law is not None:
        return asked.law
    for law in asked.exercise.laws:
        if memory.outcome(law.number, law.name) is not Outcome.PASS:
            return law
    raise Problem(f"every law of exercise {asked.exercise.number} holds; name one to read its hints: course hint 1.4")


def _print(law: Law, level: int) -> None:
    screen = console()
    screen.print()
    screen.print(Text.assemble((f"Law {law.number} · {law.name}", "bold")))
    rendering.print_behind(screen, MARGIN, [Text(law.statement)])
    for number in range(1, level + 1):
        latest = number == level
        screen.print()
        screen.print(Text(f"Hint {number} of {LEVELS}", style="bold yellow" if latest else "dim"))
        rendering.print_behind(screen, MARGIN, [Text(law.hints[number - 1], style="" if latest else "dim")])
    screen.print()
    more = f"More: course hint {law.number}   ·   " if level < LEVELS else ""
    screen.print(f"{more}Try it: course check {law.number}")
