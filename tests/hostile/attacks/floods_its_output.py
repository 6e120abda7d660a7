"""Prints as fast as it can, for ever.

L1: timeout
prints: more bytes
"""

import os

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        while True:
            os.write(1, b"x" * 65536)
