"""Announces a reply of 2 GB.

L1: invalid
says: bytes
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


def send(payload, length=None):
    size = len(payload) if length is None else length
    os.write(wire(), size.to_bytes(4, "big") + payload)


class BlockManager(Right):
    def admit(self, seq, num_tokens, shared=()):
        send(b"[", 2**31)
        signal.pause()
