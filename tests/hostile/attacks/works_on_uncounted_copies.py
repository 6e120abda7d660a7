"""A prefix cache that looks at copies of its tokens, which nobody counts, and at each as often as there are blocks.

L1: fail
says: times as long costs
law: 3 linear work
"""

from right import PrefixCache as Right


class PrefixCache(PrefixCache):  # noqa: F821
    def match(self, tokens, namespace=None):
        copies = tuple(token + 0 for token in tokens)
        for end in range(16, len(copies) + 1, 16):
            hash(copies[:end])
        return super().match(tokens, namespace)


Right = PrefixCache
