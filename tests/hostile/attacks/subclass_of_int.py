"""Returns ints of a subclass that lies when it is compared.

L1: fail
"""

from right import Right


class Liar(int):
    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return [Liar(block) for block in super().admit(seq, num_tokens, shared)]
