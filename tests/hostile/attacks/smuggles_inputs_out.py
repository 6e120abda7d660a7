"""Puts what it was asked into an exception of a megabyte and a file name.

L1: fail
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        raise RuntimeError(f"asked for {num_tokens} " * 100_000)
