"""Reads address 0.

L1: crash
says: killed by SIGSEGV
"""

import ctypes

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        ctypes.string_at(0)
