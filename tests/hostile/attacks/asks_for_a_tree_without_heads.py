"""Asks for a tree of guesses where no heads take part.

L1: invalid
says: is too much
law: 1 fast enough
"""

from right import Right, engine


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        found = engine()
        if found is not None:
            found._decoder._runner._line.ask(
                {
                    "forward": {
                        "tables": [[0, 0, 1]],
                        "kv": [],
                        "spans": [[0, 0, 2, 2, [3, 4]]],
                        "tree": [[0, 1], [[1, 0], [1, 1]]],
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
