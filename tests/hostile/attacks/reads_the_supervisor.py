"""Opens the memory of the process that watches over it.

L1: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.close(os.open(f"/proc/{os.getppid()}/mem", os.O_RDONLY))


tried(escape)


class BlockManager(Right):
    pass
