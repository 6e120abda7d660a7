"""Right: a trie; a doubly linked list of all nodes runs through it by age, the deepest of a path first."""

from reference_engine.slots import Inserted, Match


class Node:
    def __init__(self, parent, key, block):
        self.parent, self.key, self.block = parent, key, block
        self.children = {}
        self.tick = self.locks = self.handles = 0
        self.stored = block is not None
        self.older = self.younger = None


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.roots = {}
        self.where = {}
        self.clock = self.pinned = 0
        self.head = Node(None, None, None)
        self.head.younger = self.head.older = self.head

    @property
    def evictable(self):
        return len(self.where) - self.pinned

    @property
    def protected(self):
        return self.pinned

    def match(self, tokens, namespace=None):
        end, held = self.walk(self.keys(tokens), namespace)
        path = self.touch(end)
        return Match(held * self.block_size, tuple(node.block for node in path), end)

    def insert(self, tokens, blocks, namespace=None):
        keys = self.keys(tokens)
        if len(blocks) < len(keys):
            raise ValueError("too few blocks")
        node, held = self.walk(keys, namespace)
        new = blocks[held : len(keys)]
        if len(set(new)) < len(new) or any(block in self.where for block in new):
            raise ValueError("stored elsewhere")
        for key, block in zip(keys[held:], new, strict=True):
            node.children[key] = self.where[block] = child = Node(node, key, block)
            self.settle(node)
            node = child
        self.touch(node)
        return Inserted(held * self.block_size, node)

    def lock(self, node):
        node.handles += 1
        for step in self.up(node):
            step.locks += 1
            if step.locks == 1:
                self.pinned += 1
                self.settle(step)

    def unlock(self, node):
        if node.handles == 0:
            raise ValueError("not locked")
        node.handles -= 1
        for step in self.up(node):
            step.locks -= 1
            if not step.locks:
                self.pinned -= 1
                self.settle(step)

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            oldest = self.oldest()
            if oldest is None:
                break
            del oldest.parent.children[oldest.key], self.where[oldest.block]
            oldest.stored = False
            self.settle(oldest)
            self.settle(oldest.parent)
            evicted.append(oldest.block)
        return evicted

    def keys(self, tokens):
        size = self.block_size
        return [tuple(tokens[at * size : (at + 1) * size]) for at in range(len(tokens) // size)]

    def walk(self, keys, namespace):
        node = self.roots.get(namespace)
        if node is None:
            node = self.roots[namespace] = Node(None, None, None)
        for held, key in enumerate(keys):
            child = node.children.get(key)
            if child is None:
                return node, held
            node = child
        return node, len(keys)

    def touch(self, end):
        self.clock += 1
        path = list(self.up(end))
        for node in path:
            node.tick = self.clock
        if path:
            self.refresh(end)
        return path[::-1]

    def up(self, node):
        while node.parent is not None:
            yield node
            node = node.parent

    def free(self, node):
        """Whether it may go."""
        return node.stored and not node.children and not node.locks

    def settle(self, node):
        """One that is gone leaves the list."""
        if not node.stored and node.younger is not None:
            self.unlink(node)
            node.younger = node.older = None

    def refresh(self, end):
        for node in self.up(end):
            if node.younger is not None:
                self.unlink(node)
            last = self.head.older
            last.younger = self.head.older = node
            node.older, node.younger = last, self.head

    def unlink(self, node):
        node.older.younger, node.younger.older = node.younger, node.older

    def oldest(self):
        node = self.head.younger
        while node is not self.head and not self.free(node):
            node = node.younger
        return None if node is self.head else node
