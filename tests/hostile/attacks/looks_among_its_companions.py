"""Looks among the reference parts of the other slots, which are in its process, for the one of its own.

L1: pass
law: 3 same tokens
"""

import gc
import os
import sys

from right import PrefixCache as Right

OWN = (
    __name__,
    "reference_engine",
    "guest.prefix_cache",
)  # the contract, the naive part and who asks both


def hunt():
    found = [
        item
        for item in gc.get_objects()
        if isinstance(item, type) and hasattr(item, "evict") and not item.__module__.startswith(OWN)
    ]
    frame = sys._getframe()
    while frame:
        known = [value for value in frame.f_locals.values() if type(value).__name__ == "GuestParts"]
        found += [
            slot
            for shop in known
            for slot in (*shop.parts, *shop.stand_ins)
            if slot == "prefix_cache"
        ]
        frame = frame.f_back
    return found


if hunt():
    os._exit(1)  # seen from outside: what it prints is not shown beside the course's own parts
