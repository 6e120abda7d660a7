"""Has the model compute on a token that is in no prompt and was said by no pass.

L1: invalid
says: neither model nor heads had said
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
                        "tables": [[0, 40, 1]],
                        "kv": [],
                        "spans": [[0, 640, 1, 0, [3]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
