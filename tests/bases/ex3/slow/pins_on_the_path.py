"""Wrong: evict gathers all free leaves for each block, and what is pinned is counted when asked.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from reference_engine.slots import Inserted, Match


class N:
    def __init__(self, parent, key, block, ns):
        self.p, self.key, self.block, self.kids, self.t, self.pins = parent, key, block, {}, 0, 0


class PrefixCache:
    def __init__(self, block_size):
        self.bs, self.roots, self.all, self.clock = block_size, {}, {}, 0

    def _root(self, ns):
        return self.roots.setdefault(ns, N(None, None, 0, ns))

    def match(self, tokens, namespace=None):
        self.clock += 1
        n, out = self._root(namespace), []
        for i in range(len(tokens) // self.bs):
            k = n.kids.get(tuple(tokens[i * self.bs : (i + 1) * self.bs]))
            if k is None:
                break
            k.t = self.clock
            out.append(k.block)
            n = k
        return Match(len(out) * self.bs, tuple(out), n)

    def lock(self, node):
        m = node
        while m is not None:
            m.pins += 1
            m = m.p
        node.mine = getattr(node, "mine", 0) + 1

    def unlock(self, node):
        if getattr(node, "mine", 0) < 1:
            raise ValueError("not locked")
        node.mine -= 1
        m = node
        while m is not None:
            m.pins -= 1
            m = m.p

    def insert(self, tokens, blocks, namespace=None):
        k = len(tokens) // self.bs
        if len(blocks) < k:
            raise ValueError("short")
        n, i = self._root(namespace), 0
        while i < k:
            c = n.kids.get(tuple(tokens[i * self.bs : (i + 1) * self.bs]))
            if c is None:
                break
            n, i = c, i + 1
        fresh = list(blocks[i:k])
        if any(b in self.all for b in fresh) or len(set(fresh)) < len(fresh):
            raise ValueError("stored elsewhere")
        self.clock += 1
        m = n
        while m is not None:
            m.t = self.clock
            m = m.p
        for j in range(i, k):
            c = N(n, tuple(tokens[j * self.bs : (j + 1) * self.bs]), blocks[j], namespace)
            c.t = self.clock
            n.kids[c.key] = c
            self.all[c.block] = c
            n = c
        return Inserted(i * self.bs, n)

    @property
    def protected(self):
        return sum(n.pins > 0 for n in self.all.values())

    @property
    def evictable(self):
        return len(self.all) - self.protected

    def evict(self, num_blocks):
        out = []
        while len(out) < num_blocks:
            c = [n for n in self.all.values() if not n.kids and not n.pins]
            if not c:
                break
            n = min(c, key=lambda n: n.t)
            del n.p.kids[n.key]
            del self.all[n.block]
            out.append(n.block)
        return out
