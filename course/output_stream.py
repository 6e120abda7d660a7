"""What a command prints to: it may be closed from the start, or stop listening halfway (`course
check 3 | head -3`)."""

from __future__ import annotations

import os
import sys
from typing import Any

from course.errors import ExitCode, Problem
from course.terminal import tolerate

NAMES = ("stdin", "stdout", "stderr")  # in the order of their descriptors


class PatientStream:
    """A text stream that goes on in silence when nobody reads any more: the work is done, marks are
    kept.

    A disk that is full is a `Problem`, once.
    """

    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        """How much was written, as far as the caller has to care."""
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, act: Any) -> None:
        try:
            act()
        except BrokenPipeError:
            self._silence()
        except OSError as trouble:
            self._silence()
            reason = os.strerror(trouble.errno or 0)
            raise Problem(
                f"what is printed cannot be written: {reason}.", ExitCode.UNGRADED
            ) from None

    def _silence(self) -> None:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self._stream.fileno())
        os.close(nowhere)


def prepare() -> None:
    """Open what was closed, and let nothing that stops listening end the work."""
    for number, name in enumerate(NAMES):
        if getattr(sys, name) is None:
            # the lowest that is free, lest a file becomes stdout
            descriptor = os.open(os.devnull, os.O_RDWR)
            mode = "r" if number == 0 else "w"
            setattr(
                sys,
                name,
                os.fdopen(descriptor, mode, encoding="utf-8", closefd=descriptor != number),
            )
    for name in NAMES[1:]:
        stream = getattr(sys, name)
        tolerate(stream)
        if not isinstance(stream, PatientStream):
            setattr(sys, name, PatientStream(stream))
