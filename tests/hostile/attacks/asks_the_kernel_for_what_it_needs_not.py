"""Asks for io_uring, ptrace, bpf, perf, userfaultfd, keys and the memory of others, by number.

L1: open, pass
L2: blocked, pass
"""

import ctypes
import platform

from right import Right, tried

NUMBERS = {  # io_uring_setup, bpf, perf_event_open, userfaultfd, add_key, kcmp, ptrace, process_vm_readv, keyctl
    "x86_64": (425, 321, 298, 323, 248, 312, 101, 310, 250),
    "aarch64": (425, 280, 241, 282, 217, 272, 117, 270, 219),
}
EPERM, EACCES, ENOSYS = 1, 13, 38


def escape():
    libc = ctypes.CDLL(None, use_errno=True)
    found = []
    for number in NUMBERS[platform.machine()]:
        ctypes.set_errno(0)
        if libc.syscall(number, 0, 0, 0, 0, 0) >= 0 or ctypes.get_errno() not in (
            EPERM,
            EACCES,
            ENOSYS,
        ):
            found.append(number)
    if not found:
        raise PermissionError("every one is denied")


tried(escape)


class BlockManager(Right):
    pass
