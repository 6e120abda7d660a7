"""Mangles its own replies: other fields, other types, other numbers.

L1: invalid
"""

import sys

from right import Right

worker = sys.modules["guest.worker"]
answer = worker.Shop.answer


def mangle(shop, request):
    return {"verdict": "pass", **answer(shop, request)}


worker.Shop.answer = mangle


class BlockManager(Right):
    pass
