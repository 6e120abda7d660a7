"""Sends two replies to one request.

L1: invalid
says: more than one answer
fast
"""

import os
import signal
import stat

from right import Right


def wire():
    return next(descriptor for descriptor in range(3, 64) if is_socket(descriptor))


def is_socket(descriptor):
    try:
        return stat.S_ISSOCK(os.fstat(descriptor).st_mode)
    except OSError:
        return False


def send(payload):
    os.write(wire(), (len(payload).to_bytes(4, "big") + payload) * 2)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        send(b'{"id": 6, "moves": []}')
        signal.pause()
