"""Raises what test runners take for a skipped test.

L1: fail
says: Skipped
"""

from right import Right


class Skipped(BaseException):
    pass


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        raise Skipped("nothing to see here")
