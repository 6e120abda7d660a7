"""Sends the grader open files over the wire, for it to hold.

L1: invalid
says: the worker sent
"""

import os
import socket
import stat

from right import Right


def wire():
    for descriptor in range(3, 64):
        try:
            if stat.S_ISSOCK(os.fstat(descriptor).st_mode):
                return socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, descriptor)
        except OSError:
            continue


speaking = wire()
for _ in range(200):
    socket.send_fds(speaking, [b"x"], [0] * 200)
speaking.detach()


class BlockManager(Right):
    pass
