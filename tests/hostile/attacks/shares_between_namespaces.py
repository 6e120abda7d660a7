"""A prefix cache that ignores whose text it is.

L1: fail
says: `
law: 3 namespaces
"""

from right import PrefixCache as Right


class PrefixCache(PrefixCache):  # noqa: F821
    def match(self, tokens, namespace=None):
        return super().match(tokens)

    def insert(self, tokens, blocks, namespace=None):
        return super().insert(tokens, blocks)
