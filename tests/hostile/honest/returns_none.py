"""Forgets the return statement.

L1: fail
says: `admit` returned None; a list of blocks (plain ints) is due.
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        super().admit(seq, num_tokens, shared)
