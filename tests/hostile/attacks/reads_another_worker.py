"""Looks for other workers and reads the environment and the memory of each.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.close(os.open("/proc/@WORKER@/mem", os.O_RDONLY))


tried(escape)


class BlockManager(Right):
    pass
