"""Who lives below a process, what they hold, and how to end them all. Reads /proc."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

PAGE = os.sysconf("SC_PAGE_SIZE")
ROUNDS = 100
GONE = b" (deleted)"
IN_MEMORY = (b"/dev/zero", b"/memfd:", b"/SYSV", b"/anon_hugepage", b"/[aio]")
MAPS = 16_384  # pieces of memory of a process; to read more of them takes the keeper too long
DEEPEST = 12  # folders in a folder; no path gets too long to be opened


@dataclass(frozen=True)
class TreeUsage:
    """memory: resident bytes of all together (pages that two share count twice). tasks: processes
    and threads.

    unnamed: bytes of the open or mapped files that no folder shows, on a disk or in memory. maps:
    pieces of memory of the process that has the most.
    """

    memory: int
    tasks: int
    unnamed: int = 0
    maps: int = 0


def descendants(root: int) -> list[int]:
    """Every process below `root`, parents first; zombies too."""
    if not os.path.exists(f"/proc/{root}/task/{root}/children"):
        return _by_scanning(root)
    found = [root]
    for pid in found:
        found += _children(pid)
    return found[1:]


def usage(root: int) -> TreeUsage:
    """Count what lives below `root`."""
    memory = tasks = most = 0
    sizes: dict[tuple[int, int], int] = {}
    for pid in descendants(root):
        with contextlib.suppress(OSError, ValueError):
            threads = os.listdir(f"/proc/{pid}/task")
            tasks += len(threads)
            place, resident = _resident(pid, threads)
            memory += resident
            maps = _read(f"{place}/maps")
            most = max(most, maps.count(b"\n"))
            sizes |= {**_mapped(maps), **_unnamed(f"{place}/fd")}
    return TreeUsage(memory, tasks, sum(sizes.values()), most)


def _resident(pid: int, threads: list[str]) -> tuple[str, int]:
    """Where in /proc a process can be looked at, and its resident bytes: a thread, when its first
    one has ended."""
    for place in (f"/proc/{pid}", *(f"/proc/{pid}/task/{thread}" for thread in threads)):
        with contextlib.suppress(OSError):
            pages = int(_read(f"{place}/statm").split()[1])
            if pages:
                return place, pages * PAGE
    return f"/proc/{pid}", 0


def _read(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def _unnamed(descriptors: str) -> dict[tuple[int, int], int]:
    """Bytes of each regular file among them that has no name (any more)."""
    found = {}
    with contextlib.suppress(OSError), os.scandir(descriptors) as listing:
        for item in listing:
            with contextlib.suppress(OSError):  # closed meanwhile
                what = item.stat()
                if stat.S_ISREG(what.st_mode) and not what.st_nlink:
                    found[what.st_dev, what.st_ino] = what.st_blocks * 512
    return found


def _mapped(maps: bytes) -> dict[tuple[int, int], int]:
    """Bytes that are mapped of each file that has lost its name; memory that only looks like a file
    is resident."""
    found: dict[tuple[int, int], int] = {}
    for line in maps.splitlines() if GONE in maps else ():
        if line.endswith(GONE):
            span, _, _, device, inode, name = line.split(None, 5)
            start, end = (int(place, 16) for place in span.split(b"-"))
            if not name.startswith(IN_MEMORY):
                key = os.makedev(*(int(number, 16) for number in device.split(b":"))), int(inode)
                found[key] = found.get(key, 0) + end - start
    return found


def folder(path: str, most: int) -> tuple[int, int]:
    """Bytes and files below `path`; counts no further soon after `most` files or at a folder nested
    too deep."""
    size = files = 0
    folders = [(path, 0)]
    while folders and files <= most:
        place, depth = folders.pop()
        if depth > DEEPEST:
            return size, most + 1
        with contextlib.suppress(OSError), os.scandir(place) as listing:
            for item in itertools.islice(listing, most + 1):
                files += 1
                size += item.stat(follow_symlinks=False).st_blocks * 512
                if item.is_dir(follow_symlinks=False):
                    folders.append((item.path, depth + 1))
    return size, files


def end_all(root: int) -> None:
    """Stop everything below `root` until nothing new appears, then kill it. The caller reaps."""
    for pid in stop_all(root):
        _signal(pid, signal.SIGKILL)


def stop_all(root: int) -> set[int]:
    """Stop everything below `root` until nothing new appears; what was stopped."""
    stopped: set[int] = set()
    for _ in range(ROUNDS):
        new = [pid for pid in descendants(root) if pid not in stopped]
        if not new:
            break
        for pid in new:
            _signal(pid, signal.SIGSTOP)
        stopped.update(new)
    return stopped


def go_on(pids: Iterable[int]) -> None:
    """Let those go on that were stopped."""
    for pid in pids:
        _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(pid, number)


def _children(pid: int) -> Iterator[int]:
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children", "rb") as file:
                yield from map(int, file.read().split())


def _by_scanning(root: int) -> list[int]:
    """The same where the kernel lists no children."""
    below: dict[int, list[int]] = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{name}/stat", "rb") as file:
                parent = int(file.read().rpartition(b")")[2].split()[1])
                below.setdefault(parent, []).append(int(name))
    found = [root]
    for pid in found:
        found += below.get(pid, [])
    return found[1:]
