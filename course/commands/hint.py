"""`course hint N.k`: three hints for a law, one more each time it is asked."""

from __future__ import annotations

import click
from rich.text import Text

from course import next_steps, progress, rendering, workspace
from course.errors import ExitCode
from course.targets import target
from course.terminal import console
from graders.registry.law import Law

LEVELS = 3
MARGIN = Text("  ")


@click.command("hint")
@click.argument("law")
@click.option(
    "--level", type=click.IntRange(1, LEVELS), help="Show hints up to this level: 1, 2 or 3."
)
def command(law: str, level: int | None) -> ExitCode:
    """A hint for LAW, such as 1.4; ask again and it says more.

    The first says where to look, the second the idea, the third almost the code. With an exercise
    alone, such as 1, the hint is for its first law that does not hold yet.
    """
    place = workspace.find_or_none()
    memory = progress.load(place.memory if place else None)
    wanted = target(law)
    asked = wanted.law or next_steps.open_law(wanted.exercise, memory, place)
    if asked is None:
        screen = console()
        screen.print(
            f"\nEvery law of {wanted.exercise.title} holds; to read on: course hint {law}.1"
        )
        rendering.print_next(screen, next_steps.after_pass(wanted.exercise, memory))
        return ExitCode.PASS
    show(asked, memory, level)
    return ExitCode.PASS


def show(asked: Law, memory: progress.Progress, level: int | None = None) -> None:
    """Print the hints of a law up to a level, one more than the last time if none is given, and
    remember that."""
    level = level or min(memory.hint_level(asked.number) + 1, LEVELS)
    _print(asked, level)
    memory.record_hint(asked.number, level)
    memory.save_or_say()


def _print(law: Law, level: int) -> None:
    screen = console()
    screen.print()
    screen.print(Text.assemble((f"Law {law.number} · {law.name}", "bold")))
    rendering.print_behind(screen, MARGIN, [Text(law.statement)])
    for number in range(1, level + 1):
        latest = number == level
        screen.print()
        screen.print(Text(f"Hint {number} of {LEVELS}", style="bold yellow" if latest else "dim"))
        rendering.print_behind(
            screen, MARGIN, [Text(law.hints[number - 1], style="" if latest else "dim")]
        )
    screen.print()
    more = f"More: course hint {law.number}   ·   " if level < LEVELS else ""
    screen.print(f"{more}Try it: course check {law.number}")
