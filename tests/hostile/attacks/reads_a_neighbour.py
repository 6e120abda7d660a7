"""Copies the submission of somebody else.

L1: open, pass
L2: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@NEIGHBOUR@").read_text()


tried(escape)


class BlockManager(Right):
    pass
