"""Who may use a device now: many checks of correctness side by side, a timed law alone.

One lock file a device and machine. Two batches on one machine share them. A gate in front of the
lock keeps a timed law from waiting forever behind a stream of others.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import BinaryIO

CPU = "cpu"


def timed_device() -> str:
    """The device that timed laws of this process use: "gpu-3" when one GPU was assigned to it, else
    "cpu"."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return (
        f"gpu-{''.join(c for c in first if c.isalnum() or c == '-')}"
        if first and first != "-1"
        else CPU
    )


class Place:
    """A place on a device beside others, which can be given for a device alone."""

    def __init__(self, held: BinaryIO, home: Path | None) -> None:
        self._held, self._home = held, home

    def alone(self, device: str = CPU) -> AbstractContextManager[None]:
        """Have a device alone instead. The place is given back, now and for good."""
        fcntl.flock(self._held, fcntl.LOCK_UN)
        return alone(device, self._home)


@contextlib.contextmanager
def shared(device: str = CPU, home: Path | None = None) -> Iterator[Place]:
    """Use the device beside others; waits while somebody has it alone."""
    with _locked(device, fcntl.LOCK_SH, home) as held:
        yield Place(held, home)


@contextlib.contextmanager
def alone(device: str = CPU, home: Path | None = None) -> Iterator[None]:
    """Have the device alone; waits until all others are done with it, and new ones wait in turn."""
    with _locked(device, fcntl.LOCK_EX, home):
        yield


@contextlib.contextmanager
def _locked(device: str, how: int, home: Path | None) -> Iterator[BinaryIO]:
    folder = home or _home()
    with (
        (folder / f"{device}.gate").open("wb") as gate,
        (folder / f"{device}.lock").open("wb") as lock,
    ):
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, how)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield lock


def _home() -> Path:
    folder = Path(tempfile.gettempdir(), f"inference-kitchen-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
