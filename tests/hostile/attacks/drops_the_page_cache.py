"""Has the system forget the files of the engine, so that others have to read them from the disk.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried

from reference_engine import slots


def escape():
    folder = os.path.dirname(slots.__file__)
    for name in os.listdir(folder):
        if name.endswith(".py"):
            os.posix_fadvise(os.open(f"{folder}/{name}", os.O_RDONLY), 0, 0, os.POSIX_FADV_DONTNEED)


tried(escape)


class BlockManager(Right):
    pass
