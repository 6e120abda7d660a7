"""Reads the oracle of the engine.

L1: open, pass
L2: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@ENGINE@/oracle.py").read_text()


tried(escape)


class BlockManager(Right):
    pass
