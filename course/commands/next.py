"""`course next`: the law to work on now, and where."""

from __future__ import annotations

import click
from rich.console import Console
from rich.text import Text

from course import next_steps, progress, rendering, workspace
from course.active_file import in_use, is_untouched
from course.errors import ExitCode
from course.targets import learner_file, target
from course.terminal import console
from graders.registry.catalogue import Exercise, exercises

MARGIN = Text("  ")


@click.command("next")
@click.argument("exercise", required=False)
def command(exercise: str | None) -> ExitCode:
    """The law to work on now, and where: the first that does not hold yet, as far as was checked.

    Of EXERCISE (such as 5); without it, of what you are writing, else of the first that is not
    solved after the one you wrote last.
    """
    place = workspace.find()
    memory = progress.load(place.memory)
    screen = console()
    chosen = target(exercise).exercise if exercise else next_steps.exercise_in_work(place, memory)
    screen.print()
    if chosen is None or memory.passed(chosen.number):
        last = chosen or [each for each in exercises() if each.laws][-1]
        rendering.print_next(screen, next_steps.after_pass(last, memory))
        return ExitCode.PASS
    _tell(screen, place, memory, chosen)
    return ExitCode.PASS


def _tell(
    screen: Console, place: workspace.Workspace, memory: progress.Progress, exercise: Exercise
) -> None:
    """Where the part is, and the law to work on with what there is to type."""
    file = in_use(learner_file(place, exercise), exercise)
    screen.print(rendering.header(exercise.title, exercise.name, place.shown(file)), soft_wrap=True)
    number = exercise.number
    law = next_steps.open_law(exercise, memory, place)
    if is_untouched(file, exercise):
        steps = [
            f"course lesson {number}    the idea, first",
            f"course watch {number}     checks whenever you save",
        ]
    elif law is None:
        steps = [f"course check {number}     every law held, though not all in one check"]
    else:
        screen.print(Text(f"\nLaw {law.number} · {law.name}", style="bold"))
        rendering.print_behind(screen, MARGIN, [Text(law.statement)])
        steps = [
            f"course watch {law.number}   checks whenever you save",
            f"course hint {law.number}    where to look",
        ]
    rendering.print_next(screen, steps)
