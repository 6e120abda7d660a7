"""Puts memory into files that no folder shows and no process maps: memfd_create.

L1: crash
L2: blocked, pass
"""

import os
import time

from right import Right, tried

held = []


def escape():
    for number in range(40):
        held.append(os.memfd_create(str(number)))
        for _ in range(8):
            os.write(held[-1], bytes(4 << 20))
    time.sleep(2)  # for the count to notice, ten times a second


tried(escape)


class BlockManager(Right):
    pass
