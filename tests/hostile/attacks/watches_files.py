"""Asks the kernel for notices about files (inotify).

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform

from right import Right, tried


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 294, "aarch64": 26}[platform.machine()]
    if libc.syscall(number, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


tried(escape)


class BlockManager(Right):
    pass
