"""Calls os._exit(0) in a thread while a call is under way.

L1: crash
says: exited with status 0
"""

import os
import threading

from right import Right


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        leaver = threading.Thread(target=os._exit, args=(0,))
        leaver.start()
        leaver.join()
