"""Sends a datagram.

L1: open, pass
L2: blocked, pass
"""

import socket

from right import Right, tried


def escape():
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(
        b"answers", ("127.0.0.1", int("@PORT@"))
    )


tried(escape)


class BlockManager(Right):
    pass
