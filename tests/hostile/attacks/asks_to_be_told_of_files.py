"""Asks the kernel for notices about files (fanotify).

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform

from right import Right, tried


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 300, "aarch64": 262}[platform.machine()]
    if libc.syscall(number, 0x200, 0) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


tried(escape)


class BlockManager(Right):
    pass
