"""Returns an object that runs a command when it is unpickled, and a marshalled one.

L1: fail
says: Bomb
"""

import os

from right import Right


class Bomb:
    def __reduce__(self):
        return os.system, ("touch @TMP@/exploded",)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        super().admit(seq, num_tokens, shared)
        return [Bomb()]
