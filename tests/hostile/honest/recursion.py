"""Recurses without an end.

L1: fail
says: `admit` raised RecursionError: maximum recursion depth exceeded (does a function call itself without an end
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return self.admit(seq, num_tokens, shared)
