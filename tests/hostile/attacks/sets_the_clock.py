"""Sets the clock of the machine back by a year.

L1: blocked, pass
"""

import time

from right import Right, tried


def escape():
    time.clock_settime(time.CLOCK_REALTIME, time.time() - 3e7)


tried(escape)


class BlockManager(Right):
    pass
