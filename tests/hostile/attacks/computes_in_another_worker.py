"""In the worker of the laws that are not timed a thread computes whenever the reference has its turn.

L1: blocked, pass or fail
law: 1 fast enough
"""

import fcntl
import os
import sys
import threading
import time

from right import Right

MARK = os.open(
    os.__file__, os.O_RDONLY
)  # all workers have it: a lock on it tells the other one whose turn it is
SERVES = "torch" in sys.modules
STOLEN = 0.05  # seconds


def free():
    try:
        fcntl.flock(MARK, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(MARK, fcntl.LOCK_UN)
    except BlockingIOError:
        return False
    return True


def compute_in_the_others_turn():
    while free():
        time.sleep(0.001)
    while not free():
        time.sleep(0.001)
    before = time.thread_time()
    while time.thread_time() - before < STOLEN:
        pass
    print("escape: open", flush=True)


if not SERVES:
    print("escape: blocked", flush=True)
    threading.Thread(target=compute_in_the_others_turn, daemon=True).start()


class BlockManager(Right):
    def admit(self, *args, **keywords):
        if SERVES:
            try:
                fcntl.flock(MARK, fcntl.LOCK_EX)
            except PermissionError:
                pass
        return super().admit(*args, **keywords)

    def free(self, seq):
        freed = super().free(seq)
        if SERVES and not self.tables:
            try:
                fcntl.flock(MARK, fcntl.LOCK_UN)
            except PermissionError:
                pass
        return freed
