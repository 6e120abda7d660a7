"""Whether a part that runs in this process still comes back: `course run` must not hang with it."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from types import FrameType

PATIENCE = 10.0  # seconds of computing without a step


class Endless(Exception):
    """Raised inside the part that does not come back."""


@contextmanager
def patience(steps: Callable[[], int], files: Collection[str]) -> Iterator[None]:
    """Raise Endless in a part written in one of `files` that computes for PATIENCE or more while `steps` stands still.

    Nothing is watched outside of the main thread, or where there is no such timer.
    """
    if threading.current_thread() is not threading.main_thread() or not hasattr(signal, "SIGVTALRM"):
        yield
        return
    last = [steps()]

    def look(number: int, frame: FrameType | None) -> None:
        before, last[0] = last[0], steps()
        if before == last[0] and _inside(frame, files):
            raise Endless(f"no step in {PATIENCE:.0f} s of computing: an endless loop?")

    previous = signal.signal(signal.SIGVTALRM, look)
    signal.setitimer(signal.ITIMER_VIRTUAL, PATIENCE, PATIENCE)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, previous)


def _inside(frame: FrameType | None, files: Collection[str]) -> bool:
    while frame is not None:
        if frame.f_code.co_filename in files:
            return True
        frame = frame.f_back
    return False
