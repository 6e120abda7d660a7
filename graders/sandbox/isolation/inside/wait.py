"""Waiting for a child to die, or for somebody to let go of a lifeline."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Callable

TICK = 0.1  # seconds between two looks at what the tree uses


def wake_on_death() -> int:
    """A descriptor that becomes readable when a child has died; what a terminal sends is ignored
    from now on."""
    woken, waker = os.pipe()
    os.set_blocking(waker, False)
    signal.set_wakeup_fd(waker)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    for ignored in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(ignored, signal.SIG_IGN)
    return woken


def undo_wake_on_death() -> None:
    """In a child: the usual ways with signals again."""
    signal.set_wakeup_fd(-1)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGCHLD):
        signal.signal(number, signal.SIG_DFL)


def wait(
    watched: int, lifeline: int, woken: int, too_much: Callable[[], str]
) -> tuple[int | None, str]:
    """Until the child `watched` is dead (its exit code, negative for a signal), the lifeline
    closes, or `too_much` names what is used beyond the limits."""
    looked = time.monotonic()
    while True:
        readable, _, _ = select.select([lifeline, woken], [], [], TICK)
        if woken in readable:
            os.read(woken, 512)
            status = _reap(watched)
            if status is not None:
                return status, ""
        if lifeline in readable:
            return None, ""
        if time.monotonic() - looked >= TICK:
            looked = time.monotonic()
            why = too_much()
            if why:
                return None, why


def _reap(watched: int) -> int | None:
    """Bury what has died; the status of `watched` if it was among them."""
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == watched:
                return os.waitstatus_to_exitcode(status)
            if pid == 0:
                break
    return None
