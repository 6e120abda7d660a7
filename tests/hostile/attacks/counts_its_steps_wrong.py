"""Has the engine in its process count less than it did.

L1: invalid
says: the part changed reference_engine.engine.Engine.step, which is not its own
law: 4 same text, fewer passes
"""

import sys

from right import verify_greedy  # noqa: F401

engine = sys.modules.get("reference_engine.engine")
if engine is None:
    import reference_engine.engine as engine

step = engine.Engine.step


def fewer(self):
    events = step(self)
    self.metrics.steps = 1
    return events


engine.Engine.step = fewer
