"""A thread of it ends with an exception, and so does a `__del__`, in a function of the library: tracebacks, no more.

L1: pass
prints: Exception in thread
fast
"""

import json
import threading

from right import Right


def lost():
    json.loads("{")


class Forgotten:
    def __del__(self):
        json.loads("{")


thread = threading.Thread(target=lost)
thread.start()
thread.join()
Forgotten()


class BlockManager(Right):
    pass
