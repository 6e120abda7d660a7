"""Kills the process that watches over it.

L1: crash
L2: blocked, pass
"""

import os
import signal
import time

from right import Right, tried


def escape():
    os.kill(os.getppid() or 1, signal.SIGKILL)
    time.sleep(5)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        tried(escape)
        return super().admit(seq, num_tokens, shared)
