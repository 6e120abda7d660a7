"""Takes the right to read it from the gradebook, which is no writing into it.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.chmod("@GRADEBOOK@", 0)


tried(escape)


class BlockManager(Right):
    pass
