"""Takes a lease on a file of the engine: whoever saves it has to wait.

L1: open, pass
L2: blocked, pass
"""

import fcntl
import os

from right import Right, tried

from reference_engine import slots


def escape():
    fcntl.fcntl(os.open(slots.__file__, os.O_RDONLY), fcntl.F_SETLEASE, fcntl.F_RDLCK)


tried(escape)


class BlockManager(Right):
    pass
