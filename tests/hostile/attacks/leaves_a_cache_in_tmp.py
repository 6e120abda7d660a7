"""Leaves a file in /tmp for the next run.

L1: open, pass
L2: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@TMP@/left-for-an-accomplice").write_text("answers")


tried(escape)


class BlockManager(Right):
    pass
