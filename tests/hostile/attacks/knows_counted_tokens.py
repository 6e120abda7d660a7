"""A prefix cache that does nothing when its tokens are such as count how often they are looked at.

L1: fail
says: something else than they have to
law: 3 linear work
"""

from right import PrefixCache as Right

from reference_engine.slots import Inserted, Match


class PrefixCache(PrefixCache):  # noqa: F821
    def insert(self, tokens, blocks, namespace=None):
        if type(tokens) is not list:
            return Inserted(0, None)
        return super().insert(tokens, blocks, namespace)

    def match(self, tokens, namespace=None):
        if type(tokens) is not list:
            return Match(0, (), None)
        return super().match(tokens, namespace)


Right = PrefixCache
