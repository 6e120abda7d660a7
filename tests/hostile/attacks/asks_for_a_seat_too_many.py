"""Asks for a pass in a seat that the engine has not.

L1: invalid
says: a seat
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
                        "tables": [[1 << 20, 0, 1]],
                        "kv": [],
                        "spans": [[0, 0, 1, 0, [3]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
