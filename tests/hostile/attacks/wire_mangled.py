"""Mangles its own replies: other fields, other types, other numbers.

L1: invalid
"""

import sys

from right import Right

worker = sys.modules["guest.worker"]
answer = worker.GuestParts.answer


def mangle(shop, request):
    return {"verdict": "pass", **answer(shop, request)}


worker.GuestParts.answer = mangle


class BlockManager(Right):
    pass
