"""Starts a thousand threads.

L1: pass or crash
"""

import threading
import time

from right import Right, tried


def escape():
    for _ in range(1000):
        threading.Thread(target=time.sleep, args=(600,), daemon=True).start()


class BlockManager(Right):
    bombed = False

    def admit(self, seq, num_tokens, shared=()):
        if not BlockManager.bombed:
            BlockManager.bombed = True
            tried(escape)
        return super().admit(seq, num_tokens, shared)
