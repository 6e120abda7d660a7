"""Writes 320 MB of files where it stands.

L1: crash
L3: blocked, pass
"""

import time

from right import Right, tried


def escape():
    for number in range(80):
        with open(f"filler-{number}", "wb") as file:
            file.write(bytes(4 << 20))
    time.sleep(0.5)


class BlockManager(Right):
    filled = False

    def admit(self, seq, num_tokens, shared=()):
        if not BlockManager.filled:
            BlockManager.filled = True
            tried(escape)
        return super().admit(seq, num_tokens, shared)
