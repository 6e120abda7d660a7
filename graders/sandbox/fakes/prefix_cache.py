"""A prefix cache to surround another part with: a dict from a whole prefix to its block."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any

from reference_engine.slots import Block, Inserted, Match

Prefix = tuple[int, ...]


class PrefixCache:
    """Looks through everything it holds."""

    def __init__(self, block_size: int) -> None:
        self.size = block_size
        self.clock = 0
        self.blocks: dict[Prefix, Block] = {}
        self.touched: dict[Prefix, int] = {}
        self.locks: list[Prefix] = []

    @property
    def evictable(self) -> int:
        return len(self.blocks) - self.protected

    @property
    def protected(self) -> int:
        return sum(self._pinned(prefix) for prefix in self.blocks)

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match:
        path = []
        for prefix in self._prefixes(tokens):
            if prefix not in self.blocks:
                break
            path.append(prefix)
        self._touch(path)
        return Match(
            len(path) * self.size,
            tuple(self.blocks[prefix] for prefix in path),
            path[-1] if path else (),
        )

    def lock(self, node: Any) -> None:
        self.locks.append(node)

    def unlock(self, node: Any) -> None:
        self.locks.remove(node)

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None
    ) -> Inserted:
        path = self._prefixes(tokens)
        reused = sum(prefix in self.blocks for prefix in path)
        for prefix, block in zip(path, blocks, strict=False):
            self.blocks.setdefault(prefix, block)
        self._touch(path)
        return Inserted(reused * self.size, path[-1] if path else ())

    def evict(self, num_blocks: int) -> list[Block]:
        evicted = []
        for _ in range(min(num_blocks, self.evictable)):
            parents = {prefix[: -self.size] for prefix in self.blocks}
            leaves = [
                prefix
                for prefix in self.blocks
                if prefix not in parents and not self._pinned(prefix)
            ]
            evicted.append(self.blocks.pop(min(leaves, key=self.touched.__getitem__)))
        return evicted

    def _prefixes(self, tokens: Sequence[int]) -> list[Prefix]:
        return [tuple(tokens[:end]) for end in range(self.size, len(tokens) + 1, self.size)]

    def _pinned(self, prefix: Prefix) -> bool:
        return any(node[: len(prefix)] == prefix for node in self.locks)

    def _touch(self, path: list[Prefix]) -> None:
        self.clock += 1
        self.touched.update(dict.fromkeys(path, self.clock))
