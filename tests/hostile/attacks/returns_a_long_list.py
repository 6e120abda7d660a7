"""Returns a list of ten million blocks.

L1: fail
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return [1] * 10**7
