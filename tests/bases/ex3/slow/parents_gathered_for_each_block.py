"""Wrong: evict gathers the parents of all pages for each block that it takes.

Law: linear work.
Says: looks through the cache|more than in proportion
"""

from collections import Counter
from dataclasses import dataclass

from reference_engine.slots import Inserted, Match


@dataclass(frozen=True)
class Handle:
    """Ids of the prefixes from the first block on."""

    path: tuple


@dataclass
class Page:
    above: object
    block: int
    age: int


class PrefixCache:
    def __init__(self, block_size):
        self.block_size = block_size
        self.numbers = {}
        self.pages = {}
        self.locked = Counter()
        self.now = 0

    def number(self, above, tokens, start):
        return self.numbers.setdefault((above, tuple(tokens[start : start + self.block_size])), len(self.numbers))

    def prefixes(self, tokens, namespace):
        """Numbers of all whole-block prefixes."""
        found, above = [], (namespace,)
        for start in range(0, len(tokens) // self.block_size * self.block_size, self.block_size):
            above = self.number(above, tokens, start)
            found.append(above)
        return found

    def match(self, tokens, namespace=None):
        path = []
        for number in self.prefixes(tokens, namespace):
            if number not in self.pages:
                break
            path.append(number)
        self.touch(path)
        blocks = tuple(self.pages[number].block for number in path)
        return Match(len(path) * self.block_size, blocks, Handle(tuple(path)))

    def insert(self, tokens, blocks, namespace=None):
        path = self.prefixes(tokens, namespace)
        missing = [index for index, number in enumerate(path) if number not in self.pages]
        if len(blocks) < len(path):
            raise ValueError("too few blocks")
        here = {page.block for page in self.pages.values()}
        if any(blocks[index] in here for index in missing) or len({blocks[i] for i in missing}) < len(missing):
            raise ValueError("a block is stored elsewhere")
        for index in missing:
            self.pages[path[index]] = Page(path[index - 1] if index else None, blocks[index], 0)
        self.touch(path)
        return Inserted((len(path) - len(missing)) * self.block_size, Handle(tuple(path)))

    def touch(self, path):
        self.now += 1
        for number in path:
            self.pages[number].age = self.now

    def lock(self, node):
        self.locked[node] += 1

    def unlock(self, node):
        if self.locked[node] == 0:
            raise ValueError("this text is not locked")
        self.locked[node] -= 1

    def pinned(self):
        return {number for node, times in self.locked.items() if times for number in node.path}

    @property
    def protected(self):
        return len(self.pinned())

    @property
    def evictable(self):
        return len(self.pages.keys() - self.pinned())

    def evict(self, num_blocks):
        pinned, gone = self.pinned(), []
        while len(gone) < num_blocks:
            parents = {page.above for page in self.pages.values()}
            leaves = [number for number in self.pages if number not in parents and number not in pinned]
            if not leaves:
                return gone
            oldest = min(leaves, key=lambda number: self.pages[number].age)
            gone.append(self.pages.pop(oldest).block)
        return gone
