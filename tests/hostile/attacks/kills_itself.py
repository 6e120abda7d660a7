"""Sends itself SIGKILL in a call.

L1: crash
says: killed by SIGKILL
"""

import os
import signal

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        os.kill(os.getpid(), signal.SIGKILL)
