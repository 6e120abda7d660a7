"""Takes fewer arguments than the contract gives.

L1: fail
says: `admit` cannot be called as the contract says: BlockManager.admit() takes 2 positional arguments but 3 were given.
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq):
        return []
