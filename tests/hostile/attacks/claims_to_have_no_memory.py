"""Claims in the timed engine that the machine has no memory left.

L1: fail
law: 1 fast enough
"""

import sys

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        if "torch" in sys.modules:
            raise MemoryError
        return super().admit(seq, num_tokens, shared)
