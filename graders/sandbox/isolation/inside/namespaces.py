"""Own user, pid, network, mount, ipc and host-name namespaces, and a root folder that holds only
what is shown.

No privilege is needed where the system lets users make user namespaces. Needs Linux 5.12
(mount_setattr).
"""

from __future__ import annotations

import contextlib
import os
import stat
import struct
from collections.abc import Iterable, Sequence

from . import system, visible_paths

NEWNS, NEWCGROUP, NEWUTS, NEWIPC = 0x00020000, 0x02000000, 0x04000000, 0x08000000
NEWUSER, NEWPID, NEWNET = 0x10000000, 0x20000000, 0x40000000
MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MS_BIND, MS_REC, MS_PRIVATE = 1 << 12, 1 << 14, 1 << 18
MNT_DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000
INSIDE = 1000  # the uid and gid that the worker believes to have
DEVICES = ("null", "zero", "full", "random", "urandom")


def enter(*, user: bool) -> None:
    """Leave the grader's namespaces; children are born in the new pid namespace. `user`: through a
    user namespace."""
    uid, gid = os.geteuid(), os.getegid()
    try:
        system.call(
            "unshare",
            NEWNS | NEWUTS | NEWIPC | NEWPID | NEWNET | NEWCGROUP | (NEWUSER if user else 0),
        )
    except OSError as trouble:
        raise OSError(
            trouble.errno, f"this system does not let us ({trouble.strerror})", "namespaces"
        ) from None
    if user:
        _write("/proc/self/setgroups", "deny")
        _write("/proc/self/uid_map", f"{INSIDE} {uid} 1")
        _write("/proc/self/gid_map", f"{INSIDE} {gid} 1")


def change_root(
    box: str,
    shown: Sequence[str],
    hidden: Sequence[str],
    devices: Iterable[str],
    *,
    disk: int,
    programs: bool,
) -> None:
    """Build a root of `shown` less `hidden`, read-only, with an empty `box` of `disk` bytes to
    write in; move there.

    Call it in the first process of the new pid namespace. Every path keeps its name. The outer
    `box` is only the place to mount on. programs: what lies in the box may be executed (compilers
    of GPU code need that).
    """
    _mount(None, "/", None, MS_REC | MS_PRIVATE)
    _mount("tmpfs", box, "tmpfs", MS_NOSUID | MS_NODEV, "size=4m,mode=755")
    for path in shown:
        for place, target in visible_paths.links(path)[0]:
            _plant_link(box + place, target)
    for entry in visible_paths.entries(shown, hidden):
        _plant(entry, box + entry.path)
    for folder in ("/dev", "/proc", box):
        os.makedirs(box + folder, exist_ok=True)
    nodes = _device_nodes(box, devices)
    _protect(box)
    _mount(
        "tmpfs",
        box + box,
        "tmpfs",
        MS_NOSUID | MS_NODEV | (0 if programs else MS_NOEXEC),
        _size(disk),
    )
    for node in nodes:
        _mount(node, box + node, None, MS_BIND)
    with contextlib.suppress(OSError):  # where the outer /proc is masked: the worker then has none
        _mount("proc", box + "/proc", "proc", MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)
    os.chdir(box)
    system.call("pivot_root", b".", b".")
    system.call("umount2", b".", MNT_DETACH)
    os.chdir(box)


def _size(disk: int) -> str:
    return f"size={disk},nr_inodes={max(1024, disk >> 13)},mode=700"


def _plant(entry: visible_paths.Entry, place: str) -> None:
    """Bind a file, or a folder with everything below it, at `place`; of an entry that is not whole,
    make the folder."""
    if os.path.isdir(entry.path):
        os.makedirs(place, exist_ok=True)
    else:
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.close(os.open(place, os.O_CREAT | os.O_WRONLY, 0o644))
    if entry.whole:
        _mount(entry.path, place, None, MS_BIND | MS_REC)


def _plant_link(place: str, target: str) -> None:
    if not os.path.lexists(place):
        os.makedirs(os.path.dirname(place), exist_ok=True)
        os.symlink(target, place)


def _device_nodes(root: str, devices: Iterable[str]) -> list[str]:
    """Make the places for device files; the outer files to bind there."""
    nodes = [
        path for path in (*(f"/dev/{name}" for name in DEVICES), *devices) if os.path.exists(path)
    ]
    for node in nodes:
        os.makedirs(os.path.dirname(root + node), exist_ok=True)
        if stat.S_ISDIR(os.stat(node).st_mode):
            os.makedirs(root + node, exist_ok=True)
        else:
            os.close(os.open(root + node, os.O_CREAT | os.O_WRONLY, 0o644))
    _plant_link(root + "/dev/fd", "/proc/self/fd")
    _plant_link(root + "/dev/shm", root)
    return nodes


def _protect(root: str) -> None:
    """Everything mounted so far: read-only, no devices, no setuid programs."""
    attributes = struct.pack("=QQQQ", MS_RDONLY | MS_NOSUID | MS_NODEV, 0, 0, 0)
    system.syscall(
        MOUNT_SETATTR, AT_FDCWD, root.encode(), AT_RECURSIVE, attributes, len(attributes)
    )


def _mount(
    source: str | None, target: str, kind: str | None, flags: int, options: str = ""
) -> None:
    names = [name.encode() if name is not None else None for name in (source, target, kind)]
    system.call("mount", *names, flags, options.encode() or None)


def _write(path: str, text: str) -> None:
    with open(path, "w") as file:
        file.write(text)
