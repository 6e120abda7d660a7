"""Opens the grader's memory.

L1: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.close(os.open("/proc/@GRADER@/mem", os.O_RDONLY))


tried(escape)


class BlockManager(Right):
    pass
