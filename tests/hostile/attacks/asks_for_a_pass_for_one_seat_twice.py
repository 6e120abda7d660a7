"""Asks for a pass in which one seat has two places.

L1: invalid
says: twice for one seat
law: 1 fast enough
"""

import sys

from right import Right


def engine():
    frame = sys._getframe()
    while frame is not None:
        found = frame.f_locals.get("self")
        if type(found).__name__ == "AskingEngine":
            return found
        frame = frame.f_back


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        found = engine()
        if found is not None:
            found._decoder._runner._line.ask(
                {
                    "forward": {
                        "tables": [[0, 0, 1]],
                        "kv": [],
                        "spans": [[0, 0, 1, 0, [3]], [0, 0, 1, 0, [4]]],
                        "tree": None,
                    }
                }
            )
        return super().admit(seq, num_tokens, shared)
