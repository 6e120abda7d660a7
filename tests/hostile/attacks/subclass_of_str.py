"""Answers num_free with a text that claims to be the number.

L1: fail
"""

from right import Right


class Liar(str):
    def __eq__(self, other):
        return True

    __hash__ = str.__hash__


class BlockManager(Right):
    @property
    def num_free(self):
        return Liar("7")
