"""Forgets a keyword of the constructor.

L1: fail
law: 1.7
says: `__init__` cannot be called as the contract says:
fast
"""

from right import Right


class BlockManager(Right):
    def __init__(self, num_blocks, block_size):
        super().__init__(num_blocks, block_size)
