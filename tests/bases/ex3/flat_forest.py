"""Exercise 3 from the contract: one flat dictionary from (parent block, tokens) to block; a handle is a tuple: its
number, and the blocks of its path.

A block is touched together with all above it, the deepest first, so whatever was touched longest ago and is not pinned
has no child: what may go is one heap of stamps, and children are never looked for.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from heapq import heappop, heappush

from reference_engine.slots import Block, Inserted, Match


class PrefixCache:
    __slots__ = ("above", "child", "heap", "key", "locks", "pinned", "pins", "serial", "size", "stamp", "stamps")

    def __init__(self, block_size: int) -> None:
        self.size = block_size
        self.child: dict[tuple, Block] = {}  # (its parent, or a namespace in a tuple; its tokens) -> the block
        self.above: dict[Block, object] = {}
        self.key: dict[Block, tuple] = {}
        self.stamp: dict[Block, int] = {}
        self.pins: dict[Block, int] = {}
        self.heap: list[tuple[int, Block]] = []
        self.stamps = 0
        self.locks: dict[tuple, int] = {}
        self.pinned = 0
        self.serial = 0

    @property
    def evictable(self) -> int:
        return len(self.stamp) - self.pinned

    @property
    def protected(self) -> int:
        return self.pinned

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match:
        path = self._path(self._pages(tokens), namespace)
        self._touch(path)
        return Match(node=self._handle(path), blocks=tuple(path), length=self.size * len(path))

    def lock(self, node: object) -> None:
        for block in node[1]:
            if not self.pins.get(block):
                self.pinned += 1
            self.pins[block] = self.pins.get(block, 0) + 1
        self.locks[node] = self.locks.get(node, 0) + 1

    def unlock(self, node: object) -> None:
        if not self.locks.get(node):
            raise ValueError(f"{node} is not locked")
        self.locks[node] -= 1
        for block in node[1]:
            self.pins[block] -= 1
            if not self.pins[block]:
                del self.pins[block]
                self.pinned -= 1
                heappush(self.heap, (self.stamp[block], block))
        if not self.locks[node]:
            del self.locks[node]

    def insert(self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None) -> Inserted:
        pages = self._pages(tokens)
        if len(blocks) < len(pages):
            raise ValueError(f"{len(pages)} blocks are due")
        path = self._path(pages, namespace)
        held = len(path)
        brought = [blocks[i] for i in range(len(pages))]
        fresh = brought[held:]
        if len(fresh) != len(set(fresh)) or any(block in self.stamp for block in fresh):
            raise ValueError("a block is there already")
        if any(mine != theirs and mine in self.stamp for mine, theirs in zip(brought, path, strict=False)):
            raise ValueError("a block is stored at another place")
        for page, block in zip(pages[held:], fresh, strict=True):
            self.key[block] = (path[-1] if path else (namespace,), page)
            self.child[self.key[block]] = block
            path.append(block)
        self._touch(path)
        return Inserted(held * self.size, self._handle(path))

    def evict(self, num_blocks: int) -> list[Block]:
        gone: list[Block] = []
        while self.heap and len(gone) < num_blocks:
            stamp, block = heappop(self.heap)
            if self.stamp.get(block) == stamp and block not in self.pins:
                del self.child[self.key.pop(block)], self.stamp[block]
                gone.append(block)
        return gone

    def _pages(self, tokens: Sequence[int]) -> list[tuple[int, ...]]:
        each = iter(tokens)
        return list(zip(*[each] * self.size, strict=False))

    def _path(self, pages: list[tuple[int, ...]], namespace: Hashable) -> list[Block]:
        path: list[Block] = []
        parent: object = (namespace,)
        for page in pages:
            parent = self.child.get((parent, page))
            if parent is None:
                break
            path.append(parent)
        return path

    def _touch(self, path: list[Block]) -> None:
        for block in reversed(path):
            self.stamps += 1
            self.stamp[block] = self.stamps
            if block not in self.pins:
                heappush(self.heap, (self.stamps, block))

    def _handle(self, path: list[Block]) -> tuple[int, tuple[Block, ...]]:
        self.serial += 1
        return self.serial, tuple(path)
