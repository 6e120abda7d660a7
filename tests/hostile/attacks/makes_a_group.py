"""Leaves its group of processes.

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform

from right import Right, tried


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 109, "aarch64": 154}[platform.machine()]
    if libc.syscall(number, 0, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


tried(escape)


class BlockManager(Right):
    pass
