"""Who works on a job now: a lease file made with O_EXCL, kept warm by a heartbeat, taken over when
its holder is dead.

A lease has generations, `KEY.0`, `KEY.1`, …; the highest counts. Whoever finds it abandoned makes
the next one, which again only one can. Nothing is ever renamed or removed under another's feet, so
it works on a network disk as well. A holder that was merely slow may finish too: of two results the
first is kept.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import stat
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HEARTBEAT = 10.0  # seconds
ABANDONED = 60.0  # seconds without a heartbeat, by the clock of the disk
# seconds after which an empty lease was left by a holder killed before it could sign
UNSIGNED = 5.0
MOST_STARTS = 50  # generations after which a job is held to kill whoever grades it


@dataclass(frozen=True, slots=True)
class LeaseHolder:
    """Who holds a lease: a process is named by its host, that host's boot, its pid and the moment
    it began."""

    host: str
    boot: str
    pid: int
    born: str

    @classmethod
    def here(cls) -> LeaseHolder:
        return cls(socket.gethostname(), _boot(), os.getpid(), _born(os.getpid()))

    @property
    def dead(self) -> bool:
        """Certainly dead. False for a process of another host, which only its heartbeat can tell
        about."""
        if self.host != socket.gethostname():
            return False
        return self.boot != _boot() or _born(self.pid) != self.born


class Lease:
    """A job in hand. As a context: beats until left, then lets go."""

    def __init__(self, path: Path, generation: int, starts: int) -> None:
        self.path = path
        self.generation = generation
        self.starts = starts  # of this job, by its owner, before this one
        self._stop = threading.Event()
        self._beat = threading.Thread(target=self._beats, daemon=True, name="heartbeat")

    def __enter__(self) -> Lease:
        self._beat.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._beat.join()
        release(self.path)

    def _beats(self) -> None:
        while not self._stop.wait(HEARTBEAT):
            with contextlib.suppress(OSError):  # a disk away for a moment; the next beat tells
                os.utime(self.path)


def acquire(folder: Path, key: str) -> Lease | None:
    """The lease of job `key`, or None while another holds it."""
    newest = generation(folder, key)
    if newest >= 0 and not abandoned(_path(folder, key, newest)):
        return None
    path = _path(folder, key, newest + 1)
    starts = sum(_ours(_path(folder, key, number)) for number in range(newest + 1))
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except FileExistsError:
        return None
    with os.fdopen(descriptor, "w") as file:
        file.write(_signature(LeaseHolder.here()))
    return Lease(path, newest + 1, starts)


def release(path: Path) -> None:
    """Let go: the generation stays counted, its holder is crossed out."""
    with contextlib.suppress(OSError):
        path.write_text("released")


def abandoned(path: Path) -> bool:
    """Whether nobody works under this lease any more, or somebody who has no business here made it:
    another user, or one who says that it was kept warm tomorrow."""
    try:
        if not _ours(path):
            return True
        text = path.read_text(encoding="utf-8", errors="replace")
        age = _now(path.parent) - path.stat().st_mtime
    except FileNotFoundError:
        return True
    if text == "released":
        return True
    holder = _holder(text)
    if age < -UNSIGNED:
        return True
    if holder is None:
        return age > UNSIGNED
    return holder.dead or age > ABANDONED


def held_by(folder: Path, pid: int) -> list[str]:
    """The keys that process `pid` of this host holds, or held when it died."""
    found = []
    for key, newest in generations(folder).items():
        with contextlib.suppress(OSError):
            holder = _holder(
                _path(folder, key, newest).read_text(encoding="utf-8", errors="replace")
            )
            if holder and holder.pid == pid and holder.host == socket.gethostname():
                found.append(key)
    return found


def generation(folder: Path, key: str) -> int:
    """The newest generation of a lease; -1 if there was none."""
    number = 0
    while _path(folder, key, number).exists():
        number += 1
    return number - 1


def generations(folder: Path) -> dict[str, int]:
    """The newest generation of every lease in the folder."""
    found: dict[str, int] = {}
    for name in os.listdir(folder):
        key, _, number = name.partition(".")
        if number.isdecimal():
            found[key] = max(found.get(key, -1), int(number))
    return found


def _ours(path: Path) -> bool:
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid()


def _path(folder: Path, key: str, number: int) -> Path:
    return folder / f"{key}.{number}"


def _signature(holder: LeaseHolder) -> str:
    return json.dumps([holder.host, holder.boot, holder.pid, holder.born])


def _holder(text: str) -> LeaseHolder | None:
    try:
        host, boot, pid, born = json.loads(text)
        return LeaseHolder(str(host), str(boot), int(pid), str(born))
    except (ValueError, TypeError):
        return None


def _now(folder: Path) -> float:
    """The time as the disk tells it: hosts of a cluster may disagree with it and with each other."""
    probe = folder / f".clock-{socket.gethostname()}-{os.getpid()}-{threading.get_ident()}"
    try:
        probe.touch()
        return probe.stat().st_mtime
    except OSError:
        return time.time()
    finally:
        with contextlib.suppress(OSError):
            probe.unlink()


def _boot() -> str:
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return ""


def _born(pid: int) -> str:
    """When a process began, in the kernel's ticks: a pid used again is another process. "" if there
    is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    except OSError:
        return "" if _gone(pid) else "unknown"
    return "" if fields[0] in (b"Z", b"X") else fields[19].decode()


def _gone(pid: int) -> bool:
    """For systems without /proc."""
    if Path("/proc/self/stat").exists():
        return True
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
