"""A file of a hand-in, opened with no link on the way: every folder by its name in the one above it
(openat).

A link in a hand-in leads where its author could not go: to solutions, to a neighbour, to the
course's secrets. So none is followed, at whatever part of the path below the folder that the
instructor named.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from graders.result import Location, Outcome

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
FILE = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC  # never waits for a pipe


class UnusableSubmission(Exception):
    """Nothing could be graded; the text is one sentence for the person who typed the command.

    outcome: FAIL when the part is to blame, INVALID for evidence of tampering, UNGRADED when a
    person has to say what was handed in. missing: the part is not there, whatever else is.
    location: where in the file the problem lies.
    """

    def __init__(
        self,
        problem: str,
        outcome: Outcome = Outcome.FAIL,
        *,
        missing: bool = False,
        location: Location | None = None,
    ) -> None:
        super().__init__(problem)
        self.problem = problem
        self.outcome = outcome
        self.missing = missing
        self.location = location or Location()


def descriptor(path: Path, below: Path) -> int:
    """An open descriptor of the file at `path`, which lies in the folder `below`.

    Raises Unusable for a link at any part of the path under `below`, OSError for whatever else
    cannot be opened.
    """
    *folders, name = path.relative_to(below).parts
    above = os.open(below, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        for folder in folders:
            inner = _open(folder, FOLDER, above, "folder")
            os.close(above)
            above = inner
        return _open(name, FILE, above, "file")
    finally:
        os.close(above)


def refuse_links(path: Path, below: Path) -> None:
    """Raises Unusable if any part of `path` under `below` is a link; what is not there is none."""
    at = below
    parts = path.relative_to(below).parts
    for number, name in enumerate(parts, 1):
        at = at / name
        try:
            mode = os.lstat(at).st_mode
        except (OSError, ValueError):
            return
        if stat.S_ISLNK(mode):
            raise _linked(name, "file" if number == len(parts) else "folder")


def _open(name: str, flags: int, above: int, noun: str) -> int:
    try:
        return os.open(name, flags, dir_fd=above)
    except OSError as trouble:
        try:
            linked = stat.S_ISLNK(os.stat(name, dir_fd=above, follow_symlinks=False).st_mode)
        except OSError:
            linked = False
        raise (_linked(name, noun) if linked else trouble) from None


def _linked(name: str, noun: str) -> UnusableSubmission:
    return UnusableSubmission(
        f"{name} is a symbolic link; hand in the {noun} itself.", Outcome.INVALID
    )
