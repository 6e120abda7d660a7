"""`course restore N`: a file that `course reset` has kept, put back."""

from __future__ import annotations

import click

from course import backups, progress, workspace
from course.errors import ExitCode, Problem
from course.targets import learner_file, target
from course.terminal import console


@click.command("restore")
@click.argument("exercise")
@click.option("--backup", type=click.IntRange(1), help="Which one; the latest if not given.")
def command(exercise: str, backup: int | None) -> ExitCode:
    """Put back the file of EXERCISE that `course reset` has kept. What is there now is kept in its
    turn."""
    place = workspace.find()
    chosen = target(exercise).exercise
    path, folder = learner_file(place, chosen), backups.folder(place, chosen)
    kept = backups.numbered(folder, path)
    number = backup or max(kept, default=0)
    if number not in kept:
        there = ", ".join(map(str, sorted(kept)))
        raise Problem(
            f"there is no backup {number}; there are {there}."
            if kept
            else _none(place.shown(folder))
        )
    try:
        replaced = backups.keep(path, folder)
        backups.put(kept[number], path)
    except OSError as error:
        raise Problem(
            f"nothing was restored: {error.strerror or error} ({error.filename})."
        ) from error
    progress.forget(place.memory, chosen.number)
    screen = console()
    if replaced:
        screen.print(f"What was there is kept as {place.shown(replaced)}.", soft_wrap=True)
    screen.print(
        f"{place.shown(path)} is backup {number} again. Next: course check {chosen.number}",
        soft_wrap=True,
    )
    return ExitCode.PASS


def _none(folder: str) -> str:
    return f"there are no backups in {folder}: `course reset` makes them."
