"""Loops for ever when it is imported.

L1: timeout
says: still not imported
fast
"""

from right import Right


class BlockManager(Right):
    pass


while True:
    pass
