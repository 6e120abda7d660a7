"""Hands out the same list again and again, emptied as soon as it is asked for the next.

L1: fail
"""

from right import Right

one = []


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        new = super().admit(seq, num_tokens, shared)
        one.clear()
        one.extend(new)
        return one
