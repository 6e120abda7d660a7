"""Maps thousands of pieces of memory, so that its keeper has much to read in the reference's turn.

L1: crash
says: pieces of memory
"""

import mmap
import time

from right import Right

HELD = []


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        while len(HELD) < 20_000:
            HELD.append(mmap.mmap(-1, 4096))
        time.sleep(1)
        return super().admit(seq, num_tokens, shared)
