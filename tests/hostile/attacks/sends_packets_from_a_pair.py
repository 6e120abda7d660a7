"""Makes a pair of sockets for packets, which may carry more than streams do.

L1: open, pass
L2: blocked, pass
"""

import socket

from right import Right, tried


def escape():
    socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)


tried(escape)


class BlockManager(Right):
    pass
