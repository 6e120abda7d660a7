"""Forks three hundred processes.

L1: crash
L2: blocked, pass
fast
"""

import os
import time

from right import Right, tried


def escape():
    for _ in range(300):
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)


class BlockManager(Right):
    bombed = False

    def admit(self, seq, num_tokens, shared=()):
        if not BlockManager.bombed:
            BlockManager.bombed = True
            tried(escape)
            time.sleep(0.3)
        return super().admit(seq, num_tokens, shared)
