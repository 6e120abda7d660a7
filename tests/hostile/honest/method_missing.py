"""Has no extend yet.

L1: fail
says: There is no `extend`: 'BlockManager' object has no attribute 'extend'.
fast
"""

from right import Right

del Right.extend


class BlockManager(Right):
    pass
