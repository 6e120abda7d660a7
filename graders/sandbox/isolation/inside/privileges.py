"""What a worker gives up for good: capabilities, the grader's uid, the way back."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import stat
import struct
from collections.abc import Iterable, Iterator, Mapping

from . import system

# the lowest of the uids that workers of a root grader use; nobody's on any usual system
STRANGER = 1_900_000_000
CAPABILITIES_V3 = 0x20080522
NOBODY = 65534
LAST_CAPABILITY = 63


def stranger(shown: Iterable[str], ours: Iterable[str], *, through_root: bool) -> tuple[int, str]:
    """The uid that a worker of this supervisor can run as, or (0, why it has to keep the grader's).

    shown: what it must be able to read; of `ours` every file, since a checkout takes its rights
    from somebody's umask. through_root: the folders above that are somebody else's (a new root).
    """
    if os.geteuid() != 0:
        return 0, "only root can give the worker another uid"
    uid = next((uid for uid in (STRANGER + os.getpid(), NOBODY) if _mapped(uid)), 0)
    if not uid:
        return 0, "this container knows no other uid"
    for path in (*shown, *(file for folder in ours for file in _sources(folder))):
        closed = _closed_to_others(path, above=not through_root and not path.endswith(".py"))
        if closed:
            return 0, f"{closed} is closed to other users"
    return uid, ""


def _mapped(uid: int) -> bool:
    """Whether uid and gid of that number exist in our user namespace."""
    for kind in ("uid", "gid"):
        with open(f"/proc/self/{kind}_map") as file:
            ranges = [line.split() for line in file]
        if not any(int(first) <= uid < int(first) + int(count) for first, _, count in ranges):
            return False
    return True


def _closed_to_others(path: str, *, above: bool) -> str:
    """The first folder or file on the way to `path`, or the path itself, that others may not read;
    "" if none."""
    path = os.path.realpath(path) if above else path
    for place in [*_parents(path), path] if above else [path]:
        with contextlib.suppress(OSError):
            mode = os.stat(place).st_mode
            needed = stat.S_IXOTH if place != path else stat.S_IROTH
            if not mode & needed:
                return place
    return ""


def _sources(folder: str) -> Iterator[str]:
    for place, _, files in os.walk(folder):
        yield from (f"{place}/{file}" for file in files if file.endswith(".py"))


def _parents(path: str) -> list[str]:
    parts = path.split("/")
    return ["/".join(parts[:length]) or "/" for length in range(1, len(parts))]


def drop(uid: int = 0) -> None:
    """No capability, now or through any program started later; another uid and no group of old, if
    one is given."""
    with contextlib.suppress(OSError):  # above the kernel's last capability, or without CAP_SETPCAP
        for capability in range(LAST_CAPABILITY + 1):
            system.prctl(system.PR_CAPBSET_DROP, capability)
    with contextlib.suppress(OSError):
        system.prctl(system.PR_CAP_AMBIENT, system.PR_CAP_AMBIENT_CLEAR_ALL)
    if uid:
        os.setgroups([])
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, uid)
    system.call("capset", struct.pack("=Ii", CAPABILITIES_V3, 0), bytes(24))
    system.prctl(system.PR_SET_NO_NEW_PRIVS, 1)
    # a change of uid took it, and with it the use of its own /proc/self
    system.prctl(system.PR_SET_DUMPABLE, 1)


def bound(rlimits: Mapping[str, int], *, tasks: int) -> None:
    """Set the resource limits by name, never above those it has; `tasks` of its own uid, 0: as many
    as before.

    At the limit of CPU time SIGXCPU comes first, SIGKILL five seconds later.
    """
    wanted = dict(rlimits) | ({"RLIMIT_NPROC": tasks} if tasks else {})
    for name, soft in wanted.items():
        number = getattr(resource, name)
        hard = soft + 5 if name == "RLIMIT_CPU" else soft
        highest = resource.getrlimit(number)[1]
        if highest != resource.RLIM_INFINITY:
            soft, hard = min(soft, highest), min(hard, highest)
        resource.setrlimit(number, (soft, hard))


def hide() -> None:
    """No other process of this uid may look into this one (memory, environment, descriptors)."""
    system.prctl(system.PR_SET_DUMPABLE, 0)


def die_with_parent() -> None:
    system.prctl(system.PR_SET_PDEATHSIG, signal.SIGKILL)
