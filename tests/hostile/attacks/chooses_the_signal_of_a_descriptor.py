"""Chooses the signal that a descriptor sends when there is something to read: the one that wakes whoever is stopped.

L1: open, pass
L2: blocked, pass
"""

import fcntl
import os
import signal

from right import Right, tried


def escape():
    reading, _ = os.pipe()
    fcntl.fcntl(reading, fcntl.F_SETSIG, signal.SIGCONT)


tried(escape)


class BlockManager(Right):
    pass
