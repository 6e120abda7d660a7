"""Reads the tests, with all the wrong parts and what kills them.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.listdir("@TESTS@")


tried(escape)


class BlockManager(Right):
    pass
