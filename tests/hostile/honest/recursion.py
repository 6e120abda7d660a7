"""Recurses without an end.

L1: fail
says: `admit` raised RecursionError: maximum recursion depth exceeded.
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return self.admit(seq, num_tokens, shared)
