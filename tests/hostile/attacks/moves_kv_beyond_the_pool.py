"""Moves KV from beyond the pool.

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
                        "tables": [],
                        "kv": [[[1 << 30], [1], True]],
                        "spans": [[0, 0, 1, 0, [3]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
