"""Connects to a server on this machine.

L1: open, pass
L2: blocked, pass
fast
"""

import socket

from right import Right, tried


def escape():
    socket.create_connection(("127.0.0.1", int("@PORT@")), timeout=2)


tried(escape)


class BlockManager(Right):
    pass
