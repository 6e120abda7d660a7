"""`course story N.k`: the story of a law's last failure, as a script in the workspace."""

from __future__ import annotations

import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

import click

from course import progress, workspace
from course.active_file import in_use, text_of
from course.errors import ExitCode, Problem
from course.progress import replace_file
from course.story_script import story_script
from course.targets import learner_file, target
from course.terminal import console
from graders.checking.failure import plural
from graders.registry.catalogue import Exercise
from graders.registry.law import Law
from graders.submissions.source import digest


@click.command("story")
@click.argument("law")
def command(law: str) -> ExitCode:
    """Write the story of the last failure of LAW (such as 1.6) as a script beside your part.

    The script makes the calls of exactly this story, on your part as it is now. Run it, step
    through it with a debugger, set breakpoints in your part, add prints.
    """
    place = workspace.find()
    wanted = target(law)
    if wanted.law is None:
        raise Problem(f"a story is of one law: course story {wanted.exercise.number}.1")
    memory = progress.load(place.memory)
    failure = memory.failure(wanted.law.number, wanted.law.name)
    story = failure.get("story")
    if not isinstance(story, dict):
        number = wanted.law.number
        raise Problem(
            f"no broken story of law {number} is kept: course check {number}", ExitCode.FAIL
        )
    file = in_use(learner_file(place, wanted.exercise), wanted.exercise)
    script = _script(
        place, file, wanted.exercise, wanted.law, str(failure.get("message", "")), story
    )
    shown = shlex.quote(place.shown(script))
    screen = console()
    screen.print(
        f"{place.shown(script)}: {plural(len(story['steps']), 'line')}, numbered as in the story.",
        soft_wrap=True,
    )
    now = digest(text_of(file, wanted.exercise))
    if memory.told_of_another(wanted.law.number, wanted.law.name, now):
        screen.print(
            "Your part has changed since the story was told; the script runs it as it is now.",
            soft_wrap=True,
        )
    screen.print(f"Run it:    {interpreter()} {shown}", soft_wrap=True)
    screen.print(f"Debug it:  {interpreter()} -m pdb {shown}", soft_wrap=True)
    return ExitCode.PASS


def interpreter() -> str:
    """The Python that the course runs in, as a shell takes it: short where that is what `python`
    means."""
    own = Path(sys.executable)
    for name in ("python", "python3"):
        found = Path(shutil.which(name) or "")
        # of one environment, and the same file
        if (found.parent, found.resolve()) == (own.parent, own.resolve()):
            return name
    return shlex.quote(sys.executable)


def _script(
    place: workspace.Workspace,
    file: Path,
    exercise: Exercise,
    law: Law,
    message: str,
    story: dict[str, Any],
) -> Path:
    """The script, written beside the part; beside a copy of the cell where the part is one of a
    notebook."""
    if not story.get("script"):
        raise Problem(
            f"the story of law {law.number} is of a whole engine, which no script of a few lines replays. Again: "
            f"{story.get('replay') or f'course check {law.number}'}"
        )
    folder = file.parent if file.suffix == ".py" else place.memory / "stories" / exercise.slug
    path = folder / f"story_{law.number.replace('.', '_')}.py"
    text = story_script(
        law,
        message,
        story["steps"],
        story["script"],
        str(story["expected"]),
        path.name,
        interpreter(),
    )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if file.suffix != ".py":
            replace_file(folder / exercise.file_name, text_of(file, exercise))
        replace_file(path, text)
    except OSError as error:
        raise Problem(f"{error.filename or path} cannot be written: {error.strerror}.") from error
    return path
