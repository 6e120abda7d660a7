"""Looks which files the grader has open.

L1: blocked, pass
"""

import os

from right import Right, tried


def escape():
    os.readlink("/proc/@GRADER@/fd/1")


tried(escape)


class BlockManager(Right):
    pass
