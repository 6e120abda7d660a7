"""Calls sys.exit(0) in a call.

L1: crash
says: called sys.exit()
"""

import sys

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        sys.exit(0)
