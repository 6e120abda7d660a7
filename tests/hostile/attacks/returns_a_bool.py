"""Returns True for a block.

L1: fail
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        super().admit(seq, num_tokens, shared)
        return [True]
