"""Right: handles are objects of their own, and the nodes know them weakly only; a trie that counts when it is asked.

A locked handle is kept by the cache. A walk that breaks off has touched nothing: it is touched from its end upward.
"""

import weakref

from reference_engine.slots import Inserted, Match


class Node:
    __slots__ = ("__weakref__", "block", "children", "handles", "key", "parent", "tick")

    def __init__(self, parent, key, block):
        self.parent, self.key, self.block = parent, key, block
        self.children, self.tick = {}, 0
        self.handles = weakref.WeakSet()


class Handle:
    def __init__(self, node):
        self.node, self.times = node, 0
        node.handles.add(self)


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.roots, self.kept, self.clock = {}, set(), 0

    def nodes(self):
        """All stored nodes with whether they are pinned, children before their parent."""
        found, stack = [], list(self.roots.values())
        while stack:
            node = stack.pop()
            found.append(node)
            stack.extend(node.children.values())
        pinned = set()
        for node in reversed(found):
            if node in pinned or any(handle.times for handle in node.handles):
                pinned |= {node, node.parent}
        return [(node, node in pinned) for node in reversed(found) if node.parent is not None]

    @property
    def evictable(self):
        return sum(not pinned for _, pinned in self.nodes())

    @property
    def protected(self):
        return sum(pinned for _, pinned in self.nodes())

    def find(self, tokens, namespace):
        node = self.roots.get(namespace)
        if node is None:
            node = self.roots[namespace] = Node(None, None, None)
        depth = 0
        while len(tokens) >= (depth + 1) * self.block_size:
            child = node.children.get(tuple(tokens[depth * self.block_size : (depth + 1) * self.block_size]))
            if child is None:
                break
            node, depth = child, depth + 1
        return node, depth

    def touch(self, node):
        self.clock += 1
        blocks, at = [], node
        while at.parent is not None:
            at.tick = self.clock
            blocks.append(at.block)
            at = at.parent
        return tuple(reversed(blocks)), Handle(node)

    def match(self, tokens, namespace=None):
        node, depth = self.find(tokens, namespace)
        return Match(depth * self.block_size, *self.touch(node))

    def insert(self, tokens, blocks, namespace=None):
        count = len(tokens) // self.block_size
        if len(blocks) < count:
            raise ValueError(f"{count} blocks, not {len(blocks)}")
        node, depth = self.find(tokens, namespace)
        stored = {known.block for known, _ in self.nodes()}
        for block in blocks[depth:count]:
            if block in stored:
                raise ValueError(f"block {block} is here already")
        for place in range(depth, count):
            key = tuple(tokens[place * self.block_size : (place + 1) * self.block_size])
            node.children[key] = Node(node, key, blocks[place])
            node = node.children[key]
        return Inserted(depth * self.block_size, self.touch(node)[1])

    def lock(self, node):
        node.times += 1
        self.kept.add(node)

    def unlock(self, node):
        if node not in self.kept:
            raise ValueError("not locked")
        node.times -= 1
        if not node.times:
            self.kept.discard(node)

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            free = [node for node, pinned in self.nodes() if not pinned and not node.children]
            if not free:
                break
            oldest = min(free, key=lambda node: node.tick)
            del oldest.parent.children[oldest.key]
            evicted.append(oldest.block)
        return evicted
