"""What nbgrader_config.py of a course says, read as nbgrader reads it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.errors import Problem

CONFIG = "nbgrader_config.py"
NO_COURSE = (
    "{course} is no nbgrader course: it has no {file}; `course instructor init {course}` makes one."
)
LOCK_SECONDS = 30  # seconds to wait for a gradebook that somebody else is writing


@dataclass(frozen=True, slots=True)
class Settings:
    """The configuration, and where things are. Paths from `place` are relative to `root`."""

    root: Path
    config: Any
    directory: Any

    @property
    def url(self) -> str:
        """The address of the gradebook, with how long to wait for another writer. `Problem` when
        there is none yet."""
        url: str = self.directory.db_url
        file = Path(url.removeprefix("sqlite:///"))
        if url.startswith("sqlite:") and not file.is_file():
            raise Problem(
                f"there is no gradebook {file} yet; `nbgrader generate_assignment` makes one."
            )
        return (
            f"{url}?timeout={LOCK_SECONDS}" if url.startswith("sqlite:") and "?" not in url else url
        )

    def place(self, step: str, student: str, assignment: str) -> Path:
        """The folder of a step ("submitted", "autograded") of a student's assignment."""
        name = getattr(self.directory, f"{step}_directory")
        return Path(self.root, self.directory.format_path(name, student, assignment))


def configuration(course: Path) -> Path:
    """The file by which a folder is a course. `Problem` when it is none."""
    path = course / CONFIG
    if not path.is_file():
        raise Problem(NO_COURSE.format(course=course, file=CONFIG))
    return path


def settings(course: Path) -> Settings:
    """Read the configuration of the course in the folder. `Problem` when it is none, or its
    configuration fails."""
    from nbgrader.coursedir import CourseDirectory
    from traitlets.config import Config
    from traitlets.config.loader import PyFileConfigLoader

    path = configuration(course)
    config = Config()
    config.CourseDirectory.root = os.fspath(course.resolve())
    try:
        loaded = PyFileConfigLoader(CONFIG, path=os.fspath(course.resolve())).load_config()
    except Exception as error:  # a configuration is a program; it may raise anything
        raise Problem(f"{path} cannot be read: {type(error).__name__}: {error}.") from error
    config.merge(loaded)
    directory = CourseDirectory(config=config)
    return Settings(Path(directory.root), config, directory)
