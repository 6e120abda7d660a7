"""Makes a code object of numbers.

L1: invalid
says: code that is not in its text
"""

from right import Right


def made():
    return 1


made.__code__ = made.__code__.replace(co_consts=(None, 2))


class BlockManager(Right):
    pass
