"""Sees whether a call moves all elements of a long list: `pop(0)`, `insert(0, x)`, `del list[0]`.

Such a move costs time in proportion to the list, but little of it: no clock tells it from honest
arithmetic. What gives it away is that everything has changed place.
"""

import gc
from array import array
from operator import is_not, ne

SAMPLES = 64
DEEPEST = 4
MOST = 10_000  # objects looked at
LONG = 1_000  # items of a list that is not searched any further

_referents = gc.get_referents  # before a part can change it


def shifts(part, bound, least):
    """Indices of those calls (function, args) during which a list of at least `least` items moved."""
    found = []
    for index, (function, args) in enumerate(bound):
        before = [(items, _sample(items, len(items))) for items in _lists(part, least)]
        function(*args)
        if any(_moved(items, *sample) for items, sample in before):
            found.append(index)
    return found


def _sample(items, length):
    places = [length * step // SAMPLES for step in range(SAMPLES)]
    return places, [items[place] for place in places]


def _moved(items, places, seen):
    """Objects of a list are known by identity; an array makes a new int of the same value each time
    it is read."""
    differ = ne if isinstance(items, array) else is_not
    changed = sum(
        place >= len(items) or differ(items[place], was)
        for place, was in zip(places, seen, strict=True)
    )
    return changed > SAMPLES // 2


def _lists(part, least):
    """Long lists that the object holds, itself or through what it holds."""
    known, found, layer = {id(part)}, [], [part]
    for _ in range(DEEPEST):
        below = []
        for held in _referents(*layer):
            if id(held) in known or isinstance(held, (type, int, str)) or callable(held):
                continue
            known.add(id(held))
            if isinstance(held, (list, array)) and len(held) >= least:
                found.append(held)
            elif not isinstance(held, (list, tuple, dict, set)) or len(held) < LONG:
                below.append(held)
        layer = below[:MOST]
    return found
