"""Leaves its session, to be found no more.

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform

from right import Right, tried


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 112, "aarch64": 157}[platform.machine()]
    if libc.syscall(number, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


tried(escape)


class BlockManager(Right):
    pass
