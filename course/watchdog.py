"""Whether a part that runs in this process still comes back: `course run` must not hang with it."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

STALL_SECONDS = 10.0  # seconds of computing without a step

MODULE = "<module>"  # what Python calls the lines of a file outside of its functions


class NoAnswerInTime(Exception):
    """Raised inside the part that does not come back; the text is the sentence that `course check`
    has for it."""


@contextmanager
def stall_limit(
    steps: Callable[[], int], files: Collection[str], *, most: float = math.inf
) -> Iterator[None]:
    """Raise NoAnswerInTime in a part of one of `files` that computes for STALL_SECONDS while
    `steps` stands still.

    most: seconds, where they are fewer than STALL_SECONDS.

    Nothing is watched outside of the main thread, or where there is no such timer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(
        signal, "SIGVTALRM"
    ):
        yield
        return
    last, seconds = [steps()], min(most, STALL_SECONDS)

    def look(number: int, frame: FrameType | None) -> None:
        before, last[0] = last[0], steps()
        if before == last[0] and (method := called(frame, files)):
            if method == MODULE:
                raise NoAnswerInTime(
                    f"The file was still not imported after {seconds:.0f} s: a loop at module level?"
                )
            raise NoAnswerInTime(
                f"`{method}` did not come back (waited {seconds:.0f} s): an endless loop?"
            )

    previous = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def called(frame: FrameType | None, files: Collection[str]) -> str:
    """The function of a part that was called from outside and is still at work; "" when none is."""
    name = ""
    while frame is not None:
        if frame.f_code.co_filename in files:
            name = frame.f_code.co_name
        frame = frame.f_back
    return name
