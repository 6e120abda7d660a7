"""Reads the grader's environment.

L1: blocked, pass
"""

from pathlib import Path

from right import Right, tried


def escape():
    Path("/proc/@GRADER@/environ").read_bytes()


tried(escape)


class BlockManager(Right):
    pass
