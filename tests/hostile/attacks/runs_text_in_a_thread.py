"""Starts a thread whose whole work is exec.

L1: invalid
says: code that is not in its text
"""

import threading

from right import Right

thread = threading.Thread(target=exec, args=("".join(["x = ", "1"]),))
thread.start()
thread.join()


class BlockManager(Right):
    pass
