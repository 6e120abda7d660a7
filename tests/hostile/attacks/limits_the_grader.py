"""Sets a resource limit of the grader.

L1: open, pass
L2: blocked, pass
"""

import resource

from right import Right, tried


def escape():
    resource.prlimit(int("@GRADER@"), resource.RLIMIT_CORE, (0, 0))


tried(escape)


class BlockManager(Right):
    pass
