"""Makes a user namespace of its own, for the capabilities in it.

L1: open, pass
L2: blocked, pass
"""

import ctypes

from right import Right, tried


def escape():
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000):
        raise PermissionError("unshare")


tried(escape)


class BlockManager(Right):
    pass
