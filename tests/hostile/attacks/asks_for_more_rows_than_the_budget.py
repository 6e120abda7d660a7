"""Asks for a pass over more rows than the budget of a step.

L1: invalid
says: rows of a pass
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
                        "tables": [[0, place, 1] for place in range(40)],
                        "kv": [],
                        "spans": [[0, 0, 1, 0, [3] * 513]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
