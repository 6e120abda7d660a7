"""Puts an `isinstance` of its own before the builtin that the driver looks at values with.

L1: invalid
says: which is not its own
"""

import sys

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        sys.modules["guest.worker"].isinstance = lambda *_: True
        return super().admit(seq, num_tokens, shared)
