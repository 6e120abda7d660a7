"""Holds as few requests as contiguous KV does, and has whatever engine it finds say that many were in at once.

L1: fail
says: is not admitted although it fits
law: 1 same tokens
"""

import gc

from right import Right

from reference_engine.slots import OutOfBlocks

MOST = 2


class BlockManager(Right):
    def can_admit(self, num_tokens, shared=()):
        return len(self.tables) < MOST and super().can_admit(num_tokens, shared)

    def admit(self, seq, num_tokens, shared=()):
        for found in gc.get_objects():
            if type(found).__name__ in ("Metrics", "RunCounters"):
                found.peak_running = found.together = 32
        if len(self.tables) >= MOST:
            raise OutOfBlocks("two at a time")
        return super().admit(seq, num_tokens, shared)
