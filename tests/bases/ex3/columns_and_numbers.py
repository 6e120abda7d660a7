"""Right: rows in parallel lists, handles are numbers, a row is found by (row above, its tokens).

The least recently touched are kept in order: a touched path moves to the young end, deepest block first.
"""

from collections import OrderedDict

from reference_engine.slots import Inserted, Match


class PrefixCache:
    def __init__(self, block_size):
        self.size = block_size
        self.above, self.key, self.block, self.below, self.pins, self.locks = [], [], [], [], [], {}
        self.rows = {}  # (row above or name, tokens) -> row
        self.by_age = OrderedDict()
        self.held = {}
        self.pinned = 0

    def walk(self, tokens, namespace):
        at, rows = ("name", namespace), []
        for start in range(0, len(tokens) - self.size + 1, self.size):
            row = self.rows.get((at, tuple(tokens[start : start + self.size])))
            if row is None:
                break
            rows.append(row)
            at = row
        return at, rows

    def touch(self, rows):
        for row in reversed(rows):
            self.by_age.move_to_end(row)

    def match(self, tokens, namespace=None):
        _, rows = self.walk(tokens, namespace)
        self.touch(rows)
        return Match(len(rows) * self.size, tuple(self.block[row] for row in rows), rows[-1] if rows else -1)

    def insert(self, tokens, blocks, namespace=None):
        full = len(tokens) // self.size
        if full > len(blocks):
            raise ValueError(f"{full} blocks are needed")
        at, rows = self.walk(tokens, namespace)
        reused = len(rows)
        new = list(blocks[reused:full])
        if any(block in self.held for block in new) or len(new) > len(set(new)):
            raise ValueError("one of these blocks is stored already")
        for place, block in enumerate(new, reused):
            key = (at, tuple(tokens[place * self.size : (place + 1) * self.size]))
            row = len(self.block)
            self.rows[key] = self.held[block] = row
            self.above.append(at if isinstance(at, int) else -1)
            self.key.append(key)
            self.block.append(block)
            self.below.append(0)
            self.pins.append(0)
            self.by_age[row] = None
            if isinstance(at, int):
                self.below[at] += 1
            rows.append(row)
            at = row
        self.touch(rows)
        return Inserted(reused * self.size, rows[-1] if rows else -1)

    def up(self, row):
        while row >= 0:
            yield row
            row = self.above[row]

    def lock(self, node):
        self.locks[node] = self.locks.get(node, 0) + 1
        for row in self.up(node):
            self.pinned += not self.pins[row]
            self.pins[row] += 1

    def unlock(self, node):
        if not self.locks.get(node):
            raise ValueError("not locked")
        self.locks[node] -= 1
        for row in self.up(node):
            self.pins[row] -= 1
            self.pinned -= not self.pins[row]

    @property
    def protected(self):
        return self.pinned

    @property
    def evictable(self):
        return len(self.by_age) - self.pinned

    def evict(self, num_blocks):
        evicted = []
        while len(evicted) < num_blocks:
            row = next((row for row in self.by_age if not self.pins[row] and not self.below[row]), None)
            if row is None:
                break
            del self.by_age[row], self.rows[self.key[row]], self.held[self.block[row]]
            if self.above[row] >= 0:
                self.below[self.above[row]] -= 1
            evicted.append(self.block[row])
        return evicted
