"""Returns a generator instead of a list, to do the work later.

L1: fail
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return (block for block in super().admit(seq, num_tokens, shared))
