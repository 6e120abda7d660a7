"""Calls sys.exit(0) in a thread, which ends the thread alone.

L1: pass
"""

import sys
import threading

from right import Right

threading.Thread(target=sys.exit, args=(0,)).start()


class BlockManager(Right):
    pass
