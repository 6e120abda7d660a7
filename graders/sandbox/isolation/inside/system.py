"""The system calls that Python 3.11 has no name for. All raise OSError with the errno of the call."""

from __future__ import annotations

import ctypes
import os

_LIBC = ctypes.CDLL(None, use_errno=True)

PR_SET_PDEATHSIG = 1
PR_GET_SECCOMP = 21
PR_SET_SECCOMP = 22
PR_CAPBSET_DROP = 24
PR_SET_DUMPABLE = 4
PR_SET_CHILD_SUBREAPER = 36
PR_SET_NO_NEW_PRIVS = 38
PR_CAP_AMBIENT = 47
PR_CAP_AMBIENT_CLEAR_ALL = 4


def call(name: str, *args: object) -> int:
    """The C library's function `name`; ints are passed as C longs, None as NULL."""
    result: int = getattr(_LIBC, name)(*map(_argument, args))
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), name)
    return result


def syscall(number: int, *args: object) -> int:
    """The system call with that number (see `call`)."""
    return call("syscall", number, *args)


def prctl(option: int, *args: int) -> int:
    return call("prctl", option, *args, *[0] * (4 - len(args)))


def _argument(value: object) -> object:
    return ctypes.c_long(value) if type(value) is int else value
