"""Right: a chain of checksums so bad that texts collide all the time; tokens decide. Evictable blocks are found lazily.

A bucket holds every prefix with the same checksum. A heap of old ticks is cleared of stale entries when blocks are due.
"""

import heapq

from reference_engine.slots import Inserted, Match


class Entry:
    """One block: `tokens` are its own, what is before them is in `before`."""

    def __init__(self, before, tokens, block, name):
        self.before, self.tokens, self.block, self.name = before, tokens, block, name
        self.tick = self.after = self.pins = self.locks = 0
        self.stored = True


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.buckets = {}
        self.stored = set()
        self.queue = []
        self.time = self.serial = self.pinned = 0

    @property
    def evictable(self):
        return len(self.stored) - self.pinned

    @property
    def protected(self):
        return self.pinned

    def walk(self, tokens, name):
        """(entries, checksums of all whole blocks)"""
        path, sums, checksum = [], [], 0
        for start in range(0, len(tokens) - len(tokens) % self.block_size, self.block_size):
            own = list(tokens[start : start + self.block_size])
            checksum = (checksum * 31 + sum(own)) % 65521
            sums.append(checksum)
            if len(path) * self.block_size < start:
                continue
            before = path[-1] if path else None
            for entry in self.buckets.get(checksum, ()):
                if entry.before is before and entry.tokens == own and (before or entry.name == (name,)):
                    path.append(entry)
                    break
        return path, sums

    def touch(self, path):
        self.time += 1
        for entry in path:
            entry.tick = self.time
        if path:
            self.offer(path[-1])

    def offer(self, entry):
        self.serial += 1
        heapq.heappush(self.queue, (entry.tick, self.serial, entry))

    def match(self, tokens, namespace=None):
        path, _ = self.walk(tokens, namespace)
        self.touch(path)
        return Match(len(path) * self.block_size, tuple(entry.block for entry in path), path[-1] if path else None)

    def insert(self, tokens, blocks, namespace=None):
        path, sums = self.walk(tokens, namespace)
        if len(blocks) < len(sums):
            raise ValueError("too few blocks")
        new = blocks[len(path) : len(sums)]
        if not self.stored.isdisjoint(new) or len(set(new)) != len(new):
            raise ValueError("blocks that are stored already")
        reused = len(path) * self.block_size
        for block in new:
            before, start = path[-1] if path else None, len(path) * self.block_size
            entry = Entry(before, list(tokens[start : start + self.block_size]), block, (namespace,))
            if before is not None:
                before.after += 1
            self.buckets.setdefault(sums[len(path)], []).append(entry)
            entry.checksum = sums[len(path)]
            self.stored.add(block)
            path.append(entry)
        self.touch(path)
        return Inserted(reused, path[-1] if path else None)

    def lock(self, node):
        self.pin(node, 1)

    def unlock(self, node):
        if node is not None and node.locks == 0:
            raise ValueError("not locked")
        self.pin(node, -1)

    def pin(self, node, times):
        if node is not None:
            node.locks += times
        while node is not None:
            was = node.pins > 0
            node.pins += times
            self.pinned += (node.pins > 0) - was
            if not node.pins:
                self.offer(node)
            node = node.before

    def evict(self, num_blocks):
        gone = []
        while self.queue and len(gone) < num_blocks:
            tick, _, entry = heapq.heappop(self.queue)
            if not entry.stored or entry.after or entry.pins:
                continue
            if tick != entry.tick:
                self.offer(entry)
                continue
            entry.stored = False
            self.buckets[entry.checksum].remove(entry)
            self.stored.discard(entry.block)
            gone.append(entry.block)
            if entry.before is not None:
                entry.before.after -= 1
                self.offer(entry.before)
        return gone
