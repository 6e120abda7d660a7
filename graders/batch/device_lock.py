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
from pathlib import Path

CPU = "cpu"


def timed_device() -> str:
    """The device that timed laws of this process use: "gpu-3" when one GPU was assigned to it, else "cpu"."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    return f"gpu-{''.join(c for c in first if c.isalnum() or c == '-')}" if first and first != "-1" else CPU


@contextlib.contextmanager
def shared(device: str = CPU, home: Path | None = None) -> Iterator[None]:
    """Use the device beside others; waits while somebody has it alone."""
    with _locked(device, fcntl.LOCK_SH, home):
        yield


@contextlib.contextmanager
def alone(device: str = CPU, home: Path | None = None) -> Iterator[None]:
    """Have the device alone; waits until all others are done with it, and new ones wait in turn."""
    with _locked(device, fcntl.LOCK_EX, home):
        yield


@contextlib.contextmanager
def _locked(device: str, how: int, home: Path | None) -> Iterator[None]:
    folder = home or _home()
    with (folder / f"{device}.gate").open("wb") as gate, (folder / f"{device}.lock").open("wb") as lock:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(lock, how)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def _home() -> Path:
    folder = Path(tempfile.gettempdir(), f"inference-kitchen-{os.getuid()}")
    folder.mkdir(mode=0o700, exist_ok=True)
    return folder
