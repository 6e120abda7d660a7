"""Makes its process one that others of its user may not look into, and then takes what it may not.

L1: crash
L3: blocked, pass
"""

import ctypes
import os
import time

from right import Right, tried

SET_DUMPABLE = 4
held = []


def escape():
    ctypes.CDLL(None).prctl(SET_DUMPABLE, 0, 0, 0, 0)
    for number in range(40):
        held.append(open(str(number), "wb", buffering=0))
        os.unlink(str(number))
        for _ in range(8):
            held[-1].write(bytes(4 << 20))
    if sum(os.fstat(file.fileno()).st_blocks * 512 for file in held) < 400 << 20:
        raise OSError("the disk was full before")
    time.sleep(2)


tried(escape)


class BlockManager(Right):
    pass
