"""Connects to an abstract socket.

L1: open, pass
L2: blocked, pass
"""

import socket

from right import Right, tried


def escape():
    socket.socket(socket.AF_UNIX).connect("\0@ABSTRACT@")


tried(escape)


class BlockManager(Right):
    pass
