"""Calls os._exit(0) in a call.

L1: crash
says: exited with status 0
"""

import os

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        os._exit(0)
