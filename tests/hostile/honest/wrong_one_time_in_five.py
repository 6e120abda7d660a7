"""Is wrong in one call of five, at random.

L1: fail
says: `admit` returned
fast
"""

import random

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        new = super().admit(seq, num_tokens, shared)
        return new if random.random() > 0.2 else new[:-1]
