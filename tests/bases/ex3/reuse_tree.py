"""Right: in the manner of TensorRT-LLM's reuse tree: a block a node, children by their tokens, and free leaves in
queues by their age, as its eviction policy has them by priority; the oldest age is found on a heap of ages.
"""

import heapq

from reference_engine.slots import Inserted, Match


class ReuseBlock:
    def __init__(self, block=None, key=None, prev=None):
        self.block, self.key, self.prev = block, key, prev
        self.next_blocks = {}
        self.age = self.depth = self.lock_count = self.pin_count = 0
        if prev is not None:
            self.depth = prev.depth + 1

    @property
    def is_free_leaf(self):
        return self.prev is not None and not self.next_blocks and self.pin_count == 0


class LeafQueues:
    """Free leaves by age; those of one age deepest first."""

    def __init__(self):
        self.by_age = {}
        self.ages = []

    def put(self, leaf):
        if leaf.age not in self.by_age:
            self.by_age[leaf.age] = set()
            heapq.heappush(self.ages, leaf.age)
        self.by_age[leaf.age].add(leaf)

    def take(self):
        """A leaf that is still free and of that age; None when there is none."""
        while self.ages:
            queue = self.by_age[self.ages[0]]
            fit = [leaf for leaf in queue if leaf.is_free_leaf and leaf.age == self.ages[0]]
            if fit:
                leaf = max(fit, key=lambda each: each.depth)
                queue.discard(leaf)
                return leaf
            del self.by_age[heapq.heappop(self.ages)]
        return None


class PrefixCache:
    def __init__(self, block_size):
        self.tokens_per_block = block_size
        self.roots = {}
        self.stored = set()
        self.pinned = self.age = 0
        self.queues = LeafQueues()

    @property
    def evictable(self):
        return len(self.stored) - self.pinned

    @property
    def protected(self):
        return self.pinned

    def match(self, tokens, namespace=None):
        found = self._find(self._keys(tokens), namespace)
        self._claim(found[-1])
        blocks = tuple(each.block for each in found[1:])
        return Match(len(blocks) * self.tokens_per_block, blocks, found[-1])

    def insert(self, tokens, blocks, namespace=None):
        keys = self._keys(tokens)
        found = self._find(keys, namespace)
        reused = len(found) - 1
        new = tuple(blocks[reused : len(keys)])
        if len(blocks) < len(keys) or len(frozenset(new)) < len(new) or not self.stored.isdisjoint(new):
            raise ValueError("storeBlocks")
        last = found[-1]
        for key, block in zip(keys[reused:], new, strict=True):
            last.next_blocks[key] = last = ReuseBlock(block, key, last)
            self.stored.add(block)
        self._claim(last)
        return Inserted(reused * self.tokens_per_block, last)

    def lock(self, node):
        node.lock_count += 1
        for each in self._up(node):
            self.pinned += each.pin_count == 0
            each.pin_count += 1

    def unlock(self, node):
        if not node.lock_count:
            raise ValueError("not locked")
        node.lock_count -= 1
        for each in self._up(node):
            each.pin_count -= 1
            self.pinned -= each.pin_count == 0
            self._release(each)

    def evict(self, num_blocks):
        gone = []
        while len(gone) < num_blocks and (leaf := self.queues.take()) is not None:
            del leaf.prev.next_blocks[leaf.key]
            self.stored.discard(leaf.block)
            gone.append(leaf.block)
            self._release(leaf.prev)
            leaf.prev = None
        return gone

    def _keys(self, tokens):
        step = self.tokens_per_block
        return [tuple(tokens[start : start + step]) for start in range(0, len(tokens) // step * step, step)]

    def _find(self, keys, namespace):
        found = [self.roots.setdefault(namespace, ReuseBlock())]
        for key in keys:
            following = found[-1].next_blocks.get(key)
            if following is None:
                break
            found.append(following)
        return found

    @staticmethod
    def _up(node):
        while node.prev is not None:
            yield node
            node = node.prev

    def _claim(self, last):
        self.age += 1
        for each in self._up(last):
            each.age = self.age
        self._release(last)

    def _release(self, node):
        if node.is_free_leaf:
            self.queues.put(node)
