"""Connects to the host of a virtual machine.

L1: open, pass
L2: blocked, pass
"""

import socket

from right import Right, tried


def escape():
    socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)


tried(escape)


class BlockManager(Right):
    pass
