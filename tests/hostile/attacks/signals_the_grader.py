"""Asks whether it may send signals to the grader.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.kill(int("@GRADER@"), 0)


tried(escape)


class BlockManager(Right):
    pass
