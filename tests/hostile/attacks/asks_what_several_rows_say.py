"""Asks what several rows of one request say, so that a chain of guesses is verified.

L1: invalid
says: rows wanted
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
                        "spans": [[0, 0, 3, 0, [3, 4, 5]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
