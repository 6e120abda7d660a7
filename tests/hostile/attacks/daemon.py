"""Leaves a detached process that outlives it and holds the wire.

L1: open, pass
L2: blocked, pass
fast
"""

import os
import time

from right import Right, tried


def escape():
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)


tried(escape)


class BlockManager(Right):
    pass
