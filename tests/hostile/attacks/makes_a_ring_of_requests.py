"""Makes a ring by which the kernel works for it unseen.

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform

from right import Right, tried

DENIED = (
    1,
    13,
    38,
)  # EPERM, EACCES, ENOSYS; what else is said comes from a call that was let through


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    number = {"x86_64": 425, "aarch64": 425}[platform.machine()]
    if libc.syscall(number, 1, 0) < 0 and ctypes.get_errno() in DENIED:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))


tried(escape)


class BlockManager(Right):
    pass
