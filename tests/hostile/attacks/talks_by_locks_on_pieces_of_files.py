"""Locks a byte of a file that all workers can read: whoever asks who holds it hears of this one.

L1: open, pass
L2: blocked, pass
"""

import fcntl
import os

from right import Right, tried

from reference_engine import slots


def escape():
    fcntl.lockf(os.open(slots.__file__, os.O_RDONLY), fcntl.LOCK_SH, 1)


tried(escape)


class BlockManager(Right):
    pass
