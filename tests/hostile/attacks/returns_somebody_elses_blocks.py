"""A prefix cache that gives out the blocks of whatever text begins alike.

L1: fail
says: `match`
law: 3 longest prefix
"""

from right import PrefixCache as Right

from reference_engine.slots import Match


class PrefixCache(PrefixCache):  # noqa: F821
    seen = ()

    def match(self, tokens, namespace=None):
        found = super().match(tokens, namespace)
        if len(found.blocks) > len(self.seen):
            self.seen = found.blocks
        return Match(found.length, self.seen[: len(found.blocks)], found.node)
