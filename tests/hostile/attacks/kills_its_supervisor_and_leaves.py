"""Detaches a process, then kills the one that watches over it.

L1: crash
L2: blocked, pass
"""

import os
import signal
import time

from right import Right, tried


def escape():
    supervisor = os.getppid() or 1
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            time.sleep(600)
        os._exit(0)
    os.kill(supervisor, signal.SIGKILL)
    time.sleep(5)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        tried(escape)
        return super().admit(seq, num_tokens, shared)
