"""Wrong: evict(1) looks through every stored node for the oldest leaf.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from reference_engine.slots import Inserted, Match


class Node:
    def __init__(self, parent, key, block):
        self.parent = parent
        self.key = key
        self.block = block
        self.children = {}
        self.tick = 0
        self.locks = 0
        self.handles = 0


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.roots = {}
        self.where = {}
        self.clock = 0

    @property
    def evictable(self):
        return len(self.where) - self.protected

    @property
    def protected(self):
        return sum(1 for node in self.where.values() if node.locks > 0)

    def match(self, tokens, namespace=None):
        path = self.walk(self.keys(tokens), namespace)
        self.touch(path)
        end = path[-1] if path else self.roots[namespace]
        return Match(len(path) * self.block_size, tuple(node.block for node in path), end)

    def lock(self, node):
        node.handles += 1
        for step in self.up(node):
            step.locks += 1

    def unlock(self, node):
        if node.handles == 0:
            raise ValueError("not locked")
        node.handles -= 1
        for step in self.up(node):
            step.locks -= 1

    def insert(self, tokens, blocks, namespace=None):
        keys = self.keys(tokens)
        if len(blocks) < len(keys):
            raise ValueError("too few blocks")
        path = self.walk(keys, namespace)
        held = len(path)
        new = list(blocks[held : len(keys)])
        if any(block in self.where for block in new) or len(new) > len(set(new)):
            raise ValueError("stored elsewhere")
        node = path[-1] if path else self.roots[namespace]
        for key, block in list(zip(keys, blocks, strict=False))[held:]:
            node.children[key] = Node(node, key, block)
            node = node.children[key]
            self.where[block] = node
            path.append(node)
        self.touch(path)
        return Inserted(held * self.block_size, node)

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            leaves = [node for node in self.where.values() if not node.children and not node.locks]
            if not leaves:
                break
            oldest = min(leaves, key=lambda node: node.tick)
            del oldest.parent.children[oldest.key]
            del self.where[oldest.block]
            evicted.append(oldest.block)
        return evicted

    def keys(self, tokens):
        size = self.block_size
        return [tuple(tokens[at * size : (at + 1) * size]) for at in range(len(tokens) // size)]

    def walk(self, keys, namespace):
        if namespace not in self.roots:
            self.roots[namespace] = Node(None, None, None)
        node = self.roots[namespace]
        path = []
        for key in keys:
            if key not in node.children:
                break
            node = node.children[key]
            path.append(node)
        return path

    def touch(self, path):
        self.clock += 1
        for node in path:
            node.tick = self.clock

    def up(self, node):
        while node.parent is not None:
            yield node
            node = node.parent
