"""Raises KeyboardInterrupt, as if a person had stopped the run.

L1: crash
says: `admit` raised KeyboardInterrupt
"""

from right import Right


class BlockManager(Right):
    def admit(self, *_):
        raise KeyboardInterrupt
