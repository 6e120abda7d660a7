"""Removes the submission of somebody else.

L1: open, pass
L2: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.remove("@NEIGHBOUR@")


tried(escape)


class BlockManager(Right):
    pass
