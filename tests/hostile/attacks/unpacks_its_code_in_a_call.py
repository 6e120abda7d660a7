"""Loads its code only when it is called.

L1: invalid
says: code that is not in its text
"""

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        import marshal

        marshal.loads(marshal.dumps((lambda: 1).__code__))
        return super().admit(seq, num_tokens, shared)
