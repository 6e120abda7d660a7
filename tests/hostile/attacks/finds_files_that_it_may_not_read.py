"""Looks whether the solutions and the laws are there, and how large they are: it may know of them without reading them.

L1: open, pass
L3: blocked, pass
"""

import os

from right import Right, tried


def escape():
    return [os.stat(place) for place in ("@SOLUTIONS@", "@GRADERS@/grading.py")]


tried(escape)


class BlockManager(Right):
    pass
