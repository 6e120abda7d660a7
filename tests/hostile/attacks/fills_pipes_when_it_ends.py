"""Ignores what can be ignored, and threads of it write to the output and to pipes of its own until they are killed.

L1: pass
"""

import os
import signal
import threading

from right import Right

for number in range(1, 32):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass


def fill(descriptor):
    while True:
        os.write(descriptor, b"x" * 65536)


for _ in range(8):
    threading.Thread(target=fill, args=(os.pipe()[1],), daemon=True).start()
threading.Thread(target=fill, args=(1,), daemon=True).start()


class BlockManager(Right):
    pass
