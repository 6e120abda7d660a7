"""`python -m graders.batch DIR`: one worker for the journal in DIR. It ends when its stdin is
closed.

Exit codes: 0 every job is settled, 2 no journal there, 3 some result could not be stored, 130
interrupted.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from pathlib import Path
from types import FrameType

from graders.batch.journal import BadJournal, Journal
from graders.batch.worker_loop import end_with, work


def main(arguments: list[str]) -> int:
    """Work until nothing is left."""
    if len(arguments) != 1:
        _say("usage: python -m graders.batch DIR")
        return 2
    signal.signal(signal.SIGTERM, _interrupt)
    end_with(sys.stdin.fileno())
    try:
        tally = work(Journal(Path(arguments[0])))
    except BadJournal as bad:
        _say(str(bad))
        return 2
    except KeyboardInterrupt:
        return 130
    if tally.unsaved:
        _say(f"{tally.unsaved} results were not stored: {tally.reason}")
    return 3 if tally.unsaved else 0


def _say(text: str) -> None:
    """For the log, unless the disk is full: then the exit code has to do."""
    with contextlib.suppress(OSError):
        os.write(sys.stderr.fileno(), f"{text}\n".encode())


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
