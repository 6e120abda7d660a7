"""Wrong: evict walks through the whole tree for each block.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from collections import Counter

from reference_engine.slots import Inserted, Match


class Edge:
    def __init__(self, keys, blocks, ticks):
        self.keys = keys
        self.blocks = blocks
        self.ticks = ticks
        self.children = {}


class PrefixCache:
    def __init__(self, block_size):
        self.size = block_size
        self.time = 0
        self.roots = {}
        self.locks = Counter()
        self.pins = Counter()
        self.stored = {}

    @property
    def evictable(self):
        return len(self.stored) - self.protected

    @property
    def protected(self):
        return len(self.pins)

    def cut(self, tokens):
        tokens = list(tokens)
        ends = range(self.size, len(tokens) + 1, self.size)
        return [tuple(tokens[end - self.size : end]) for end in ends]

    def walk(self, keys, namespace):
        """[(edge, how many of its blocks agree)], from the root down."""
        steps, at = [], 0
        edge = self.roots.setdefault(namespace, Edge([], [], []))
        while at < len(keys) and keys[at] in edge.children:
            edge = edge.children[keys[at]]
            agree = 0
            while agree < len(edge.keys) and at < len(keys) and edge.keys[agree] == keys[at]:
                agree, at = agree + 1, at + 1
            steps.append((edge, agree))
            if agree < len(edge.keys):
                break
        return steps

    def touch(self, steps):
        self.time += 1
        for edge, agree in steps:
            edge.ticks[:agree] = [self.time] * agree

    def match(self, tokens, namespace=None):
        steps = self.walk(self.cut(tokens), namespace)
        self.touch(steps)
        blocks = tuple(block for edge, agree in steps for block in edge.blocks[:agree])
        return Match(len(blocks) * self.size, blocks, blocks)

    def lock(self, node):
        self.locks[node] += 1
        self.pins.update(node)

    def unlock(self, node):
        if type(node) is not tuple or not self.locks[node]:
            raise ValueError("not locked")
        self.locks[node] -= 1
        self.pins -= Counter(node)

    def insert(self, tokens, blocks, namespace=None):
        keys = self.cut(tokens)
        if len(blocks) < len(keys):
            raise ValueError("too few")
        steps = self.walk(keys, namespace)
        held = sum(agree for _, agree in steps)
        new = list(blocks[held : len(keys)])
        if any(block in self.stored for block in new) or len(new) > len(set(new)):
            raise ValueError("stored elsewhere")
        if new:
            edge = self.roots[namespace]
            if steps:
                edge, agree = steps[-1]
                if agree < len(edge.keys):
                    self.split(edge, agree)
            leaf = Edge(keys[held:], new, [0] * len(new))
            edge.children[leaf.keys[0]] = leaf
            steps.append((leaf, len(new)))
            self.stored.update(dict.fromkeys(new))
        self.touch(steps)
        path = tuple(block for edge, agree in steps for block in edge.blocks[:agree])
        return Inserted(held * self.size, path)

    def split(self, edge, count):
        """Keep the first blocks; the rest moves into a new child."""
        lower = Edge(edge.keys[count:], edge.blocks[count:], edge.ticks[count:])
        lower.children = edge.children
        del edge.keys[count:], edge.blocks[count:], edge.ticks[count:]
        edge.children = {lower.keys[0]: lower}

    def leaves(self):
        """(tick of the last block, edge, parent) of every edge without children whose last block is not pinned."""
        stack = list(self.roots.values())
        while stack:
            parent = stack.pop()
            for edge in parent.children.values():
                stack.append(edge)
                if not edge.children and edge.blocks[-1] not in self.pins:
                    yield edge.ticks[-1], id(edge), edge, parent

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            oldest = min(self.leaves(), default=None)
            if oldest is None:
                break
            _, _, edge, parent = oldest
            first = edge.keys[0]
            edge.keys.pop()
            edge.ticks.pop()
            evicted.append(edge.blocks.pop())
            del self.stored[evicted[-1]]
            if not edge.keys:
                del parent.children[first]
        return evicted
