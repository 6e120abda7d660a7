"""Right: in the manner of vLLM's first prefix cache: blocks found by what is before them, and an evictor with a heap of
ages whose entries are looked at again when they come up.

vLLM's evictor takes the least recent block, of equals the one with the most tokens before it; so does this one.
"""

import heapq

from reference_engine.slots import Inserted, Match


class CachedBlock:
    def __init__(self, block_id=0, before=None, content=None, num_hashed_tokens=0):
        self.block_id, self.before, self.content = block_id, before, content
        self.num_hashed_tokens = num_hashed_tokens
        self.last_accessed = self.followers = self.pins = self.handles = 0
        self.after = {}


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.first = {}  # the empty text, by namespace
        self.blocks = {}
        self.pinned = 0
        self.now = 0
        self.evictor = []

    @property
    def evictable(self):
        return len(self.blocks) - self.pinned

    @property
    def protected(self):
        return self.pinned

    def match(self, tokens, namespace=None):
        block, path = self._walk(tokens, namespace)
        self._access(block)
        return Match(len(path) * self.block_size, tuple(each.block_id for each in path), block)

    def insert(self, tokens, blocks, namespace=None):
        size = self.block_size
        block, path = self._walk(tokens, namespace)
        held, whole = len(path), len(tokens) // size
        given = list(blocks)[held:whole]
        if len(blocks) < whole or len(set(given)) != len(given) or not self.blocks.keys().isdisjoint(given):
            raise ValueError("blocks")
        for at, block_id in enumerate(given, held):
            content = tuple(tokens[at * size : (at + 1) * size])
            block.followers += 1
            block.after[content] = block = CachedBlock(block_id, block, content, at + 1)
            self.blocks[block_id] = block
        self._access(block)
        return Inserted(held * size, block)

    def lock(self, node):
        node.handles += 1
        while node.before is not None:
            self.pinned += not node.pins
            node.pins += 1
            node = node.before

    def unlock(self, node):
        if node.handles < 1:
            raise ValueError("not locked")
        node.handles -= 1
        while node.before is not None:
            node.pins -= 1
            self.pinned -= not node.pins
            self._offer(node)
            node = node.before

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks and self.evictor:
            age, _, block_id = heapq.heappop(self.evictor)
            block = self.blocks.get(block_id)
            if block is None or block.followers or block.pins or block.last_accessed != age:
                continue
            del self.blocks[block_id], block.before.after[block.content]
            block.before.followers -= 1
            evicted.append(block_id)
            self._offer(block.before)
        return evicted

    def _walk(self, tokens, namespace):
        block, path = self.first.setdefault(namespace, CachedBlock()), []
        for at in range(self.block_size, len(tokens) + 1, self.block_size):
            found = block.after.get(tuple(tokens[at - self.block_size : at]))
            if found is None:
                break
            path.append(found)
            block = found
        return block, path

    def _access(self, block):
        self.now += 1
        last = block
        while block.before is not None:
            block.last_accessed = self.now
            block = block.before
        self._offer(last)

    def _offer(self, block):
        if block.before is not None and not block.followers and not block.pins:
            heapq.heappush(self.evictor, (block.last_accessed, -block.num_hashed_tokens, block.block_id))
