"""Makes a timer that sends it SIGCONT: stopped in the reference's turn, it goes on.

L1: open, pass
L2: blocked, pass
"""

import ctypes
import os
import platform
import signal

from right import Right, tried

MONOTONIC = 1


class Event(ctypes.Structure):
    _fields_ = [
        ("value", ctypes.c_void_p),
        ("signal", ctypes.c_int),
        ("notify", ctypes.c_int),
        ("pad", ctypes.c_char * 48),
    ]


def escape():
    signal.signal(signal.SIGCONT, lambda *_: None)
    libc, timer = ctypes.CDLL(None, use_errno=True), ctypes.c_int()
    create, settime = {"x86_64": (222, 223), "aarch64": (107, 110)}[platform.machine()]
    event = Event(None, int(signal.SIGCONT), 0)
    if libc.syscall(create, MONOTONIC, ctypes.byref(event), ctypes.byref(timer)) < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    every = (ctypes.c_long * 4)(0, 10_000_000, 0, 10_000_000)
    libc.syscall(settime, timer, 0, ctypes.byref(every), None)


tried(escape)


class BlockManager(Right):
    pass
