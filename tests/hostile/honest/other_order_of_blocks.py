"""Right, and hands out blocks in an order of its own.

L1: pass
fast
"""

from right import Right


class BlockManager(Right):
    def take(self, count):
        self.unused.sort(key=lambda block: (block * 7919) % 101)
        return super().take(count)
