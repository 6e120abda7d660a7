"""Asks for guesses where no heads take part.

L1: invalid
says: a wish for guesses
law: 1 fast enough
"""

from right import Right, engine


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        found = engine()
        if found is not None:
            found._decoder._runner._line.ask({"guess": {"rows": [0], "count": 1}})
        return super().admit(seq, num_tokens, shared)
