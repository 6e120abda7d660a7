"""Kills the process that watches over it, from one that has left its folder, its environment and its readers behind.

L1: crash
L2: blocked, pass
"""

import ctypes
import os
import signal
import time
from pathlib import Path

from right import Right, tried

SET_DUMPABLE = 4


def forget():
    fields = Path("/proc/self/stat").read_text().rpartition(") ")[2].split()
    first, last = int(fields[47]), int(fields[48])  # env_start, env_end
    ctypes.memset(first, 0, last - first)
    os.chdir("/")
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)


def escape():
    supervisor = os.getppid()
    if os.fork() == 0:
        os.setsid()
        forget()
        if os.fork() == 0:
            os.kill(supervisor, signal.SIGKILL)
            time.sleep(60)
        os._exit(0)
    time.sleep(2)


tried(escape)


class BlockManager(Right):
    pass
