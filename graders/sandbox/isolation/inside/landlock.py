"""Landlock (Linux 5.13 and later, no privilege needed): which files a process may open, which
sockets it may connect.

`restrict` binds the calling process and all it will ever start. Truncation is bound from ABI 3 on,
TCP from 4, device ioctls from 5, abstract sockets and signals to processes outside from 6. Never
bound: UDP, what is about a file and not in it (`stat`, `chmod`, `utime`). See
https://docs.kernel.org/userspace-api/landlock.html.
"""

from __future__ import annotations

import errno
import os
import stat
import struct
from collections.abc import Iterable

from . import system

CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
VERSION = 1
PATH_BENEATH = 1

EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
CHANGE_FOLDER = 0b1_1111_1111 << 4  # remove and make, every kind of file
REFER, TRUNCATE, IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
EVERYTHING = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
TCP = 0b11  # bind and connect
SCOPES = 0b11  # abstract sockets and signals
OF_FILES = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV

READ = EXECUTE | READ_FILE | READ_DIR
LIST = READ_DIR
USE = READ_FILE | WRITE_FILE | TRUNCATE | IOCTL_DEV  # a device, or a file to write into
OWN = READ | WRITE_FILE | CHANGE_FOLDER | REFER | TRUNCATE


def abi() -> int:
    """The kernel's Landlock ABI, 0 if it has none."""
    try:
        return system.syscall(CREATE_RULESET, None, 0, VERSION)
    except OSError:
        return 0


def restrict(rules: Iterable[tuple[str, int]]) -> None:
    """Deny every file but those at or below the paths of `rules` (path, rights); a path that is
    missing is left out.

    Needs PR_SET_NO_NEW_PRIVS. Raises OSError where Landlock is missing or refused.
    """
    version = abi()
    handled = EVERYTHING.get(version, (1 << 16) - 1)
    attributes = struct.pack("<QQQ", handled, TCP, SCOPES)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = system.syscall(CREATE_RULESET, attributes, size, 0)
    try:
        for path, rights in rules:
            _allow(ruleset, path, rights & handled)
        system.syscall(RESTRICT_SELF, ruleset, 0)
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError as missing:
        if missing.errno in (errno.ENOENT, errno.ENOTDIR, errno.EACCES):
            return
        raise
    try:
        if not stat.S_ISDIR(os.fstat(place).st_mode):
            rights &= OF_FILES
        if rights:
            system.syscall(ADD_RULE, ruleset, PATH_BENEATH, struct.pack("<Qi", rights, place), 0)
    finally:
        os.close(place)
