"""`course reset N`: the untouched stub again; the learner's file is kept as a backup first."""

from __future__ import annotations

from pathlib import Path

import click

from course import backups, progress, workspace
from course.errors import ExitCode, Problem
from course.targets import learner_file, stub_of, target
from course.terminal import console


@click.command("reset")
@click.argument("exercise")
def command(exercise: str) -> ExitCode:
    """Put the untouched stub of EXERCISE back. Your file is kept under .course/backups/ first."""
    place = workspace.find()
    chosen = target(exercise).exercise
    path = learner_file(place, chosen)
    text = stub_of(chosen)
    screen = console()
    if _content(path) == text.encode():
        screen.print(f"{place.shown(path)} is the untouched stub already.", soft_wrap=True)
        return ExitCode.PASS
    try:
        backup = backups.keep(path, backups.folder(place, chosen))
        path.parent.mkdir(parents=True, exist_ok=True)
        progress.replace_file(path, text)
    except OSError as error:
        why = error.strerror or str(error)
        raise Problem(
            f"nothing was reset, your file is as it was: {why} ({error.filename})."
        ) from error
    progress.forget(place.memory, chosen.number)
    if backup:
        kept = place.shown(backup)
        screen.print(
            f"Your file is kept as {kept}; course restore {chosen.number} puts it back.",
            soft_wrap=True,
        )
    screen.print(
        f"{place.shown(path)} is the untouched stub again. Next: course check {chosen.number}",
        soft_wrap=True,
    )
    return ExitCode.PASS


def _content(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Problem(f"{path} cannot be read ({error.strerror}); nothing was reset.") from error
