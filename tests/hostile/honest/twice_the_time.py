"""Computes for twice the time that a call may take.

L1: timeout
says: an endless loop?
"""

import time

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        until = time.process_time() + 6
        while time.process_time() < until:
            pass
        return super().admit(seq, num_tokens, shared)
