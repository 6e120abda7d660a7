"""Overwrites a results file, the journal and the gradebook of the grader.

L1: open, pass
L2: blocked, pass
fast
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@RESULTS@").write_text("pass")


tried(escape)


class BlockManager(Right):
    pass
