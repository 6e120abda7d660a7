"""Has the model read a token that it does not know.

L1: invalid
says: a token
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
                        "spans": [[0, 0, 1, 0, [1 << 40]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
