"""Has a mistake that raises.

L1: fail
says: `admit` raised AttributeError: 'BlockManager' object has no attribute 'tabels'.
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return self.tabels[seq]
