"""Returns a list nested a million deep.

L1: fail or crash
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        nested = []
        for _ in range(10**6):
            nested = [nested]
        return nested
