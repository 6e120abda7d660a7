"""`course list`: the exercises, how far the learner is, what to type next."""

from __future__ import annotations

from collections.abc import Sequence

import click
from rich.console import Console
from rich.text import Text

from course import next_steps, progress, workspace
from course.active_file import current_digest
from course.errors import ExitCode
from course.targets import learner_file
from course.terminal import console
from graders.registry.catalogue import Exercise, exercises
from graders.registry.law import Law


@click.command("list")
def command() -> ExitCode:
    """The exercises, how far you are, and what to do next."""
    screen = console()
    place = workspace.find_or_none()
    memory = progress.load(place.memory if place else None)
    screen.print()
    for exercise in exercises():
        _print_exercise(screen, exercise, memory, place)
    screen.print()
    if place is None:
        screen.print("There is no workspace here yet. Next: course init kitchen")
    else:
        if place.elsewhere:
            screen.print(
                "These are not in this folder; `course init kitchen` makes a folder of your own here."
            )
        screen.print(_next(memory, place))
    if memory.notice:
        screen.print(memory.notice, style="yellow")
    return ExitCode.PASS


def _print_exercise(
    screen: Console,
    exercise: Exercise,
    memory: progress.Progress,
    place: workspace.Workspace | None,
) -> None:
    holding = next_steps.held_laws(exercise, memory, place)
    held = len(holding)
    line = Text.assemble("  ", (f"{exercise.number:<4}", "bold"), f"  {exercise.name:<23}")
    if not exercise.laws:
        line.append("not in this version yet", style="dim")
    else:
        whole = len(exercise.laws)
        full = round(10 * held / whole)
        line.append("█" * full, style="green").append("░" * (10 - full), style="dim")
        line.append(f"  {held:>2} of {whole} laws")
        if memory.passed(exercise.number):
            line.append("  solved" if held == whole else "  solved before", style="green")
        if place and holding and _old(exercise, holding, memory, place):
            line.append("  old: changed since", style="yellow")
    screen.print(line, soft_wrap=True)
    if place and exercise.laws:
        screen.print(
            Text(f"        {place.shown(learner_file(place, exercise))}", style="dim"),
            soft_wrap=True,
        )


def _old(
    exercise: Exercise, laws: Sequence[Law], memory: progress.Progress, place: workspace.Workspace
) -> bool:
    """Whether some of the laws were judged on another text than the learner's is now."""
    now = current_digest(learner_file(place, exercise), exercise)
    return any(memory.old(law.number, law.name, now) for law in laws)


def _next(memory: progress.Progress, place: workspace.Workspace | None) -> str:
    todo = next_steps.exercise_in_work(place, memory) if place else next_steps.open_exercise(memory)
    if todo is None:
        return f"Everything is solved. See it all together: course run --use {next_steps.whole_engine()}"
    return f"Next: course check {todo.number}"
