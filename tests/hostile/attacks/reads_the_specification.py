"""Reads the grader's specification.

L1: open, pass
L2: blocked, pass
fast
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@GRADERS@/exercises/ex1_paged_allocation/specification.py").read_text()


tried(escape)


class BlockManager(Right):
    pass
