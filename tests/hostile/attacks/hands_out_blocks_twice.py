"""Hands out overlapping blocks, to seem to hold more guests.

L1: fail
"""

from right import Right


class BlockManager(Right):
    def take(self, count):
        taken = self.unused[:count]
        for block in taken:
            self.refs[block] += 1
        return taken
