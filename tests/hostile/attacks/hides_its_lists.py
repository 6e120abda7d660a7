"""Moves a whole list in each call, and has gc find no lists.

L1: fail
says: moves every element of a list
law: 1 constant time
"""

import gc

from right import Right

gc.get_referents = lambda *_: []


class BlockManager(Right):
    def take(self, count):
        taken = [self.unused.pop(0) for _ in range(count)]
        for block in taken:
            self.refs[block] = 1
        return taken
