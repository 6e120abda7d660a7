"""Where a learner's exercises are: found from the current folder upward, through $COURSE_HOME, or
in the clone."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from course.errors import Problem

HOME_VARIABLE = "COURSE_HOME"


@dataclass(frozen=True, slots=True)
class Workspace:
    """A folder with `exercises/exN_*/` in it; what the course remembers lies in its `.course/`."""

    root: Path

    @property
    def exercises(self) -> Path:
        return self.root / "exercises"

    @property
    def memory(self) -> Path:
        return self.root / ".course"

    @property
    def elsewhere(self) -> bool:
        """The current folder is neither this one nor below it: the environment named it, or it is
        the clone."""
        try:
            return self.root.resolve() not in (here := Path.cwd().resolve(), *here.parents)
        except OSError:
            return True

    def shown(self, path: Path) -> str:
        """`path` as a person would type it: relative to the current folder where that is short."""
        try:
            return os.fspath(path.resolve().relative_to(Path.cwd().resolve()))
        except (ValueError, OSError):
            return os.fspath(path)


def find() -> Workspace:
    """The workspace at hand; `Problem` when there is none."""
    home = os.environ.get(HOME_VARIABLE)
    for folder in _upward():
        if _holds_exercises(folder):
            return Workspace(folder)
    if home:
        if _holds_exercises(Path(home)):
            return Workspace(Path(home))
        raise Problem(
            f"${HOME_VARIABLE} is {home}, but there are no exercises in it; `course init {home}` puts them there."
        )
    clone = installed_root()
    if _holds_exercises(clone) and (clone / "pyproject.toml").is_file():
        return Workspace(clone)
    raise Problem(
        "there are no exercises here; `course init kitchen` copies them into the folder `kitchen`."
    )


def find_or_none() -> Workspace | None:
    """The workspace at hand, or None: for commands that can do without."""
    try:
        return find()
    except Problem:
        return None


def installed_root() -> Path:
    """The folder that holds the package `course`: a clone of the project, or site-packages."""
    return Path(__file__).resolve().parent.parent


def _upward() -> list[Path]:
    try:
        here = Path.cwd()
    except OSError as error:
        raise Problem(
            f"the current folder cannot be read ({error.strerror}); change to another one."
        ) from error
    return [here, *here.parents]


def _holds_exercises(folder: Path) -> bool:
    try:
        return any(
            re.match(r"(ex|lab)\d+_", path.name) for path in (folder / "exercises").iterdir()
        )
    except OSError:
        return False
