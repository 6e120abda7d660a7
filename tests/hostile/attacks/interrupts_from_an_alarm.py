"""Has a timer interrupt the driver between two calls with an exception of its own.

L1: crash or fail or timeout
fast
"""

import signal

from right import Right


def ring(*_):
    raise GeneratorExit


class BlockManager(Right):
    def __init__(self, *args, **keywords):
        signal.signal(signal.SIGALRM, ring)
        signal.setitimer(signal.ITIMER_REAL, 1e-4, 1e-4)
        super().__init__(*args, **keywords)
