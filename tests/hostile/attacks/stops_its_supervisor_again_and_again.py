"""Leaves processes that stop the supervisor as soon as anybody lets it go on, so that its end takes long.

L1: pass
"""

import os
import signal

from right import Right

keeper = os.getppid()
for _ in range(3):
    try:
        child = os.fork()
    except OSError:
        break
    while child == 0:
        os.kill(keeper, signal.SIGSTOP)


class BlockManager(Right):
    pass
