"""Asks for a terabyte at once.

L1: crash
says: ran out of memory
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return bytearray(1 << 40)
