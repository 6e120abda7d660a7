"""Leaves a file in /dev/shm for the next run; what it meets at L3 is a folder of its own.

L1: open, pass
L2: blocked, pass
L3: open, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@SHARED@").write_text("answers")


tried(escape)


class BlockManager(Right):
    pass
