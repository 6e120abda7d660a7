"""Exercise 3 from the contract: dictionaries in dictionaries, a handle is the page of the last block itself.

Ages live in the pages; what may go is kept in a sorted list of (age, depth), looked up by halving.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Hashable, Sequence
from types import SimpleNamespace as Page

from reference_engine.slots import Block, Inserted, Match


class PrefixCache:
    def __init__(self, block_size: int) -> None:
        self.size, self.now, self.roots, self.known, self.leaves, self.held = block_size, 0, {}, {}, [], 0

    evictable = property(lambda self: len(self.known) - self.held)
    protected = property(lambda self: self.held)

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match:
        path = self._down(tokens, namespace)
        self._touch(path)
        blocks = tuple(page.block for page in path[1:])
        return Match(len(blocks) * self.size, blocks, path[-1])

    def lock(self, node: object) -> None:
        node.locks += 1
        while node.up is not None:
            self._leaf(node, False)
            node.pins += 1
            self.held += node.pins == 1
            node = node.up

    def unlock(self, node: object) -> None:
        if not getattr(node, "locks", 0):
            raise ValueError("not locked")
        node.locks -= 1
        while node.up is not None:
            node.pins -= 1
            self.held -= node.pins == 0
            self._leaf(node, True)
            node = node.up

    def insert(self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None) -> Inserted:
        full = len(tokens) // self.size
        if full > len(blocks):
            raise ValueError("too few blocks")
        path = self._down(tokens, namespace)
        reused = len(path) - 1
        new = list(blocks[reused:full])
        wrong = [b for b, page in zip(blocks, path[1:], strict=False) if b != page.block and b in self.known]
        if wrong or any(b in self.known for b in new) or len(dict.fromkeys(new)) != len(new):
            raise ValueError("a block twice")
        for i, block in enumerate(new, reused):
            text = tuple(tokens[i * self.size : (i + 1) * self.size])
            up = path[-1]
            self._leaf(up, False)
            page = Page(block=block, text=text, up=up, below={}, age=None, pins=0, locks=0, depth=i)
            up.below[text] = self.known[block] = page
            path.append(page)
        self._touch(path)
        return Inserted(reused * self.size, path[-1])

    def evict(self, num_blocks: int) -> list[Block]:
        out: list[Block] = []
        while self.leaves and len(out) < num_blocks:
            page = self.known[self.leaves.pop(0)[1]]
            del self.known[page.block], page.up.below[page.text]
            out.append(page.block)
            self._leaf(page.up, True)
        return out

    def _down(self, tokens: Sequence[int], namespace: Hashable) -> list:
        page = self.roots.setdefault((namespace,), Page(up=None, below={}, pins=0, locks=0, block=None))
        path, start = [page], 0
        while start + self.size <= len(tokens):
            page = page.below.get(tuple(tokens[start : start + self.size]))
            if page is None:
                break
            path.append(page)
            start += self.size
        return path

    def _touch(self, path: list) -> None:
        self.now += 1
        for page in path[1:]:
            self._leaf(page, False)
            page.age = self.now
            self._leaf(page, True)

    def _leaf(self, page, is_one: bool) -> None:
        """Take it off the list of what may go, or put it there if it may."""
        if page.up is None or page.age is None:
            return
        at = bisect_left(self.leaves, (page.age, page.block))
        listed = self.leaves[at : at + 1] == [(page.age, page.block)]
        if listed and not is_one:
            del self.leaves[at]
        if not listed and is_one and not page.below and not page.pins:
            self.leaves.insert(at, (page.age, page.block))
