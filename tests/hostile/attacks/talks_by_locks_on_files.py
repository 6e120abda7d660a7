"""Locks a file that all workers can read: whoever tries the same elsewhere knows whether this one works.

L1: open, pass
L2: blocked, pass
"""

import fcntl
import os

from right import Right, tried

from reference_engine import slots


def escape():
    fcntl.flock(os.open(slots.__file__, os.O_RDONLY), fcntl.LOCK_EX)


tried(escape)


class BlockManager(Right):
    pass
