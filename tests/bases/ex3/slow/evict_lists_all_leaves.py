"""Wrong: evict makes a list of all leaves for each block.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from reference_engine.slots import Inserted, Match


class Node:
    def __init__(self, parent, keys, blocks):
        self.parent = parent
        self.keys = keys
        self.blocks = blocks
        self.children = {}
        self.tick = 0
        self.locks = 0
        self.handles = 0


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.roots = {}
        self.stored = set()
        self.pinned = 0
        self.clock = 0

    @property
    def evictable(self):
        return len(self.stored) - self.pinned

    @property
    def protected(self):
        return self.pinned

    def match(self, tokens, namespace=None):
        self.clock += 1
        keys = self.keys(tokens)
        node, path = self.walk(keys, namespace)
        blocks = tuple(block for step in path for block in step.blocks)
        self.touch(path)
        return Match(len(blocks) * self.block_size, blocks, node)

    def lock(self, node):
        node.handles += 1
        while node.parent is not None:
            if node.locks == 0:
                self.pinned += len(node.blocks)
            node.locks += 1
            node = node.parent

    def unlock(self, node):
        if node.handles == 0:
            raise ValueError("this handle is not locked")
        node.handles -= 1
        while node.parent is not None:
            node.locks -= 1
            if node.locks == 0:
                self.pinned -= len(node.blocks)
            node = node.parent

    def insert(self, tokens, blocks, namespace=None):
        keys = self.keys(tokens)
        if len(blocks) < len(keys):
            raise ValueError("too few blocks")
        node, path = self.walk(keys, namespace)
        held = sum(len(step.blocks) for step in path)
        new = list(blocks[held : len(keys)])
        if len(set(new)) < len(new) or not self.stored.isdisjoint(new):
            raise ValueError("a block is stored elsewhere")
        self.clock += 1
        if new:
            leaf = Node(node, keys[held:], new)
            node.children[leaf.keys[0]] = leaf
            self.stored.update(new)
            path.append(leaf)
            node = leaf
        self.touch(path)
        return Inserted(held * self.block_size, node)

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            leaves = [leaf for leaf in self.nodes() if not leaf.children and leaf.locks == 0]
            if not leaves:
                break
            leaf = min(leaves, key=lambda node: node.tick)
            first = leaf.keys[0]
            leaf.keys.pop()
            evicted.append(leaf.blocks.pop())
            if not leaf.blocks:
                del leaf.parent.children[first]
        self.stored.difference_update(evicted)
        return evicted

    def keys(self, tokens):
        size = self.block_size
        full = len(tokens) // size
        return [tuple(tokens[at * size : (at + 1) * size]) for at in range(full)]

    def walk(self, keys, namespace):
        """The node where the stored prefix of `keys` ends, split if need be, and the nodes on the path."""
        node = self.roots.setdefault(namespace, Node(None, [], []))
        path = []
        at = 0
        while at < len(keys) and keys[at] in node.children:
            child = node.children[keys[at]]
            common = 0
            while common < len(child.keys) and at < len(keys) and child.keys[common] == keys[at]:
                common += 1
                at += 1
            if common < len(child.keys):
                child = self.split(child, common)
            path.append(child)
            node = child
        return node, path

    def split(self, lower, count):
        """Cut the first blocks off an edge; the node above it."""
        upper = Node(lower.parent, lower.keys[:count], lower.blocks[:count])
        upper.tick = lower.tick
        upper.locks = lower.locks
        upper.parent.children[upper.keys[0]] = upper
        lower.keys = lower.keys[count:]
        lower.blocks = lower.blocks[count:]
        lower.parent = upper
        upper.children[lower.keys[0]] = lower
        return upper

    def touch(self, path):
        for node in path:
            node.tick = self.clock

    def nodes(self):
        stack = list(self.roots.values())
        while stack:
            node = stack.pop()
            stack.extend(node.children.values())
            if node.parent is not None:
                yield node
