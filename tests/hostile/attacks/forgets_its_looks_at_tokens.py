"""Hashes each block with all that goes before it, and sets the count of looks back.

L1: fail
says: times as long costs
law: 3 linear work
"""

import sys

from right import PrefixCache as Right


class PrefixCache(PrefixCache):  # noqa: F821
    def match(self, tokens, namespace=None):
        looks = sys.modules["guest.prefix_cache"].LOOKS
        before = looks[0]
        for end in range(16, len(tokens) + 1, 16):
            hash(tuple(tokens[:end]))
        looks[0] = before
        return super().match(tokens, namespace)


Right = PrefixCache
