"""Ends its first thread, so that its memory seems to be none, and takes 1.1 GiB in another.

L1: crash
says: MiB of memory
"""

import ctypes
import platform
import threading
import time

from right import Right

HELD = []


def grow():
    time.sleep(0.2)
    while len(HELD) < 18:
        HELD.append(bytearray(b"x") * (64 << 20))
    time.sleep(30)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        threading.Thread(target=grow).start()
        ctypes.CDLL(None).syscall({"x86_64": 60, "aarch64": 93}[platform.machine()], 0)
