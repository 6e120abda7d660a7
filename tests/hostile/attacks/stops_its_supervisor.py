"""Stops the process that watches over it.

L1: open, pass
L2: blocked, pass
"""

import os
import signal

from right import Right, tried


def escape():
    os.kill(os.getppid() or 1, signal.SIGSTOP)


tried(escape)


class BlockManager(Right):
    pass
