"""Keeps the interpreter busy in one call that no signal handler can interrupt.

L1: timeout
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return pow(3, 10**9) % 7
