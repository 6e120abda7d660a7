"""Fills the disk with files that it removes from their folder and keeps open.

L1: crash
L3: blocked, pass
"""

import os
import time

from right import Right, tried

held = []


def escape():
    for number in range(40):
        held.append(open(str(number), "wb", buffering=0))
        os.unlink(str(number))
        for _ in range(8):
            held[-1].write(bytes(4 << 20))
    if sum(os.fstat(file.fileno()).st_blocks * 512 for file in held) < 400 << 20:
        raise OSError("the disk was full before")
    time.sleep(2)  # for the count to notice, ten times a second


tried(escape)


class BlockManager(Right):
    pass
