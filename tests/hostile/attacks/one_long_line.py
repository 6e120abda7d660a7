"""Prints one line of 100 MB, then goes on as if nothing were.

L1: pass
prints: more bytes
"""

import sys

from right import Right

for _ in range(100):
    sys.stdout.write("x" * 10**6)
sys.stdout.flush()


class BlockManager(Right):
    pass
