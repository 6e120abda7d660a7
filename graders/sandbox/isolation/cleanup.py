"""What is left of a worker whose supervisor can no longer tell: found by its folder, and ended."""

from __future__ import annotations

import contextlib
import os
import signal
from pathlib import Path

ROUNDS = 100
QUIET = 3


def end(box: Path) -> None:
    """Kill every process that was started in `box` until none is found, three times running.

    Once is not enough: a process born while /proc is being read is not in the list.
    """
    quiet = 0
    for _ in range(ROUNDS):
        found = of(box)
        quiet = 0 if found else quiet + 1
        if quiet == QUIET:
            return
        for pid in found:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)


def of(box: Path) -> list[int]:
    """Living processes whose environment, command line (the supervisor's, for all that it started)
    or current folder names `box`."""
    mark = os.fsencode(box)
    found = []
    for name in os.listdir("/proc"):
        if name.isdigit() and int(name) != os.getpid() and _belongs(name, mark):
            found.append(int(name))
    return found


def _belongs(pid: str, mark: bytes) -> bool:
    with contextlib.suppress(OSError):
        with open(f"/proc/{pid}/stat", "rb") as file:
            if file.read().rpartition(b")")[2].split()[0] in (b"Z", b"X"):
                return False
        for text in ("cmdline", "environ"):
            with contextlib.suppress(PermissionError), open(f"/proc/{pid}/{text}", "rb") as file:
                if mark in file.read():
                    return True
        return os.readlink(f"/proc/{pid}/cwd".encode()).startswith(mark)
    return False
