"""Asks the grader for a pass with a field that none has.

L1: invalid
says: unknown field
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
                        "kv": [],
                        "spans": [[0, 0, 1, 0, [3]]],
                        "tree": None,
                        "free": True,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
