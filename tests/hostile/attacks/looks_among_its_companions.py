"""Looks among the reference parts of the other slots, which are in its process, for the one of its own.

L1: blocked, pass
law: 3 same tokens
"""

import gc
import sys

from right import PrefixCache as Right
from right import tried

OWN = (__name__, "reference_engine.slots", "guest.prefix_cache")


def hunt():
    found = [
        item
        for item in gc.get_objects()
        if isinstance(item, type) and hasattr(item, "evict") and item.__module__ not in OWN
    ]
    frame = sys._getframe()
    while frame:
        known = [value for value in frame.f_locals.values() if type(value).__name__ == "GuestParts"]
        found += [slot for shop in known for slot in (*shop.parts, *shop.stand_ins) if slot == "prefix_cache"]
        frame = frame.f_back
    print(found)
    if not found:
        raise LookupError("nothing found")


tried(hunt)
