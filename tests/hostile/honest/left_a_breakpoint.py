"""Has a breakpoint left in it.

L1: fail
says: `admit` raised BdbQuit (a breakpoint is left in the part, and nobody is there to go on from it).
fast
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        breakpoint()
        return super().admit(seq, num_tokens, shared)
