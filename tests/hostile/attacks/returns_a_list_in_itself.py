"""Returns a list that holds itself a hundred thousand times.

L1: fail or invalid
"""

from right import Right


class BlockManager(Right):
    def admit(self, *_):
        held = []
        held.extend([held] * 100_000)
        return held
