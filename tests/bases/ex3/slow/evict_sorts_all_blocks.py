"""Wrong: evict sorts all stored blocks by age and depth.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from reference_engine.slots import Inserted, Match


class Entry:
    def __init__(self, chain, parent, tokens, block, namespace):
        self.chain, self.parent, self.tokens, self.block, self.namespace = chain, parent, tokens, block, namespace
        self.children = 0
        self.pins = 0
        self.handles = 0
        self.tick = 0


class PrefixCache:
    def __init__(self, block_size):
        self._size = block_size
        self._chains = {}
        self._blocks = {}
        self._pinned = 0
        self._now = 0

    @property
    def evictable(self):
        return len(self._blocks) - self._pinned

    @property
    def protected(self):
        return self._pinned

    def match(self, tokens, namespace=None):
        path, _ = self._find(tokens, namespace)
        self._touch(path)
        return Match(len(path) * self._size, tuple(entry.block for entry in path), path[-1] if path else None)

    def lock(self, node):
        if node is not None:
            node.handles += 1
            self._pin(node, 1)

    def unlock(self, node):
        if node is None or node.handles < 1:
            raise ValueError("this handle is not locked")
        node.handles -= 1
        self._pin(node, -1)

    def insert(self, tokens, blocks, namespace=None):
        full = len(tokens) // self._size
        if len(blocks) < full:
            raise ValueError("too few blocks")
        path, chain = self._find(tokens, namespace)
        reused = len(path)
        fresh = list(blocks[reused:full])
        if not self._blocks.keys().isdisjoint(fresh) or len(set(fresh)) < len(fresh):
            raise ValueError("a block is in two places")
        for at in range(reused, full):
            piece = tuple(tokens[at * self._size : (at + 1) * self._size])
            chain = hash((chain, piece))
            parent = path[-1] if path else None
            entry = Entry(chain, parent, piece, blocks[at], namespace)
            self._chains.setdefault(chain, []).append(entry)
            self._blocks[entry.block] = entry
            if parent is not None:
                parent.children += 1
            path.append(entry)
        self._touch(path)
        return Inserted(reused * self._size, path[-1] if path else None)

    def evict(self, num_blocks):
        evicted = []
        for entry in sorted(self._blocks.values(), key=lambda entry: (entry.tick, -self._depth(entry))):
            if len(evicted) >= num_blocks:
                break
            if not entry.pins:
                assert entry.children == 0
                evicted.append(entry.block)
                self._remove(entry)
        return evicted

    def _find(self, tokens, namespace):
        path, chain = [], hash((namespace is None, namespace))
        for at in range(len(tokens) // self._size):
            piece = tuple(tokens[at * self._size : (at + 1) * self._size])
            longer = hash((chain, piece))
            parent = path[-1] if path else None
            for entry in self._chains.get(longer, ()):
                if entry.parent is parent and entry.tokens == piece and self._same(entry.namespace, namespace):
                    break
            else:
                return path, chain
            path.append(entry)
            chain = longer
        return path, chain

    def _same(self, one, other):
        return one is other or (one is not None and other is not None and one == other)

    def _touch(self, path):
        self._now += 1
        for entry in path:
            entry.tick = self._now

    def _pin(self, entry, change):
        while entry is not None:
            before = entry.pins > 0
            entry.pins += change
            self._pinned += (entry.pins > 0) - before
            entry = entry.parent

    def _depth(self, entry):
        depth = 0
        while entry.parent is not None:
            depth, entry = depth + 1, entry.parent
        return depth

    def _remove(self, entry):
        self._chains[entry.chain].remove(entry)
        if not self._chains[entry.chain]:
            del self._chains[entry.chain]
        del self._blocks[entry.block]
        if entry.parent is not None:
            entry.parent.children -= 1
