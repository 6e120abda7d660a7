"""Exit codes, and the one way in which a command says that it cannot go on."""

from __future__ import annotations

import contextlib
import enum
from collections.abc import Iterator


class ExitCode(enum.IntEnum):
    """What the `course` command ends with. Scripts may rely on it."""

    PASS = 0  # it worked; for `check`: every law asked for passed
    FAIL = 1  # some law failed, or the part could not be loaded
    USAGE = 2  # the command was typed wrongly, or a file is missing or unreadable
    UNGRADED = 3  # the fault is the course's or the machine's, not the part's
    ISOLATION = 4  # isolation is below the required level
    INTERRUPTED = 130  # Ctrl-C


EXIT_CODES = {
    ExitCode.PASS: "it worked; for `check`: every law passed",
    ExitCode.FAIL: "some law failed, or the part could not be loaded",
    ExitCode.USAGE: "typed wrongly, or a file is missing or unreadable",
    ExitCode.UNGRADED: "our fault or the machine's: nothing was graded",
    ExitCode.ISOLATION: "isolation is below the required level",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C",
}


class Problem(Exception):
    """One sentence for the person who typed the command: what was wrong, where, what to do next."""

    def __init__(self, sentence: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(sentence)
        self.code = code


@contextlib.contextmanager
def needing_the_waiter() -> Iterator[None]:
    """Where the course's own model cannot be loaded: `Problem`, which is not the part's fault."""
    from reference_engine.model import ModelError

    try:
        yield
    except ModelError as error:
        raise Problem(f"the waiter is not well: {error}.", ExitCode.UNGRADED) from error
