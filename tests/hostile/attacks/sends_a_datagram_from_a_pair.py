"""Makes a pair of datagram sockets and sends from one end to a name that it was not given.

L1: open, pass
L2: blocked, pass
"""

import socket

from right import Right, tried


def escape():
    ends = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    try:
        ends[0].sendto(b"answers", "\0@ABSTRACT@")
    except ConnectionRefusedError:
        pass  # it was sent, and nobody listens
    except OSError as other:
        if other.errno != 91:  # EPROTOTYPE: somebody listens, to streams
            raise


tried(escape)


class BlockManager(Right):
    pass
