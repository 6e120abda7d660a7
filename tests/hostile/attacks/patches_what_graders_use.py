"""Wrong, and patches comparison, json, time, builtins and tracing in its process.

L1: fail or invalid or crash
"""

import builtins
import json
import math
import sys
import time

from right import Right

math.isclose = lambda *_, **__: True
time.monotonic = time.perf_counter = time.time = lambda: 0.0
json.dumps = lambda *_, **__: '{"outcome": "pass"}'
builtins.sorted = lambda items, **_: list(items)
sys.settrace(lambda *_: None)
sys.setprofile(None)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        return [0] * len(super().admit(seq, num_tokens, shared))
