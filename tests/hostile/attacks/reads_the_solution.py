"""Reads the solution.

L1: open, pass
L2: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@SOLUTIONS@/ex1_paged_allocation/block_manager.py").read_text()


tried(escape)


class BlockManager(Right):
    pass
