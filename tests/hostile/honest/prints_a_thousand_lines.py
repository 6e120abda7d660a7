"""Prints a thousand lines while it is right.

L1: pass
prints: more bytes
fast
"""

from right import Right

for number in range(1000):
    print(f"step {number}: admitting")


class BlockManager(Right):
    pass
