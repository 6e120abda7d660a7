"""Pushes the pages of a file of the engine out of memory.

L1: open, pass
L2: blocked, pass
"""

import mmap

from right import Right, tried

from reference_engine import slots

PAGEOUT = 21


def escape():
    with open(slots.__file__, "rb") as file:
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ).madvise(PAGEOUT)


tried(escape)


class BlockManager(Right):
    pass
