"""Reads the part of the course that would stand in for its own.

L1: open, pass
L2: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("@GRADERS@/sandbox/fakes/block_manager.py").read_text()


tried(escape)


class BlockManager(Right):
    pass
