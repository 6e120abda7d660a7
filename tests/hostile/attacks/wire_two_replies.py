"""Sends every reply twice.

L1: invalid
fast
"""

import sys

from right import Right

worker = sys.modules["child.worker"]
send = worker._send


def send_twice(wire, frame):
    send(wire, bytes(frame) * 2)


worker._send = send_twice


class BlockManager(Right):
    pass
