"""Overwrites the results, the journal, the gradebook and the answers of the grader.

L1: open, pass
L2: blocked, pass
fast
"""

from pathlib import Path

from right import Right, tried


def escape():
    for kept in ("@RESULTS@", "@JOURNAL@", "@GRADEBOOK@", "@ANSWERS@"):
        Path(kept).write_text("pass")


tried(escape)


class BlockManager(Right):
    pass
