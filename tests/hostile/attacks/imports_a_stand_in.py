"""Looks in its process for a right part to copy: there is one for every slot but its own.

L1: blocked, fail
law: 3 longest prefix
fast
"""

import gc
import sys

from right import tried


def escape():
    import guest.plain  # where it once lay

    print(guest.plain)


def hunt():
    frame = sys._getframe()
    while frame:
        for shop in (
            value for value in frame.f_locals.values() if type(value).__name__ == "GuestParts"
        ):
            if "prefix_cache" in shop.stand_ins:
                return
        frame = frame.f_back
    found = [
        item
        for item in gc.get_objects()
        if isinstance(item, type) and hasattr(item, "evict") and item.__module__ not in OWN
    ]
    print(found)
    if not found:
        raise LookupError("nothing found")


OWN = (
    __name__,
    "reference_engine.slots",
    "guest.prefix_cache",
)  # the others hold names of methods alone

for attempt in (escape, hunt):
    tried(attempt)


class PrefixCache:
    def __init__(self, block_size):
        raise LookupError("there is nothing to copy")
