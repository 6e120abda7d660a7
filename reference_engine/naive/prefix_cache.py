"""The prefix cache before caching: every guest reads the whole menu."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from reference_engine.slots import Block, Inserted, Match


class PrefixCache:
    """Remembers nothing and finds nothing."""

    def __init__(self, block_size: int) -> None:
        self._block_size = block_size

    @property
    def evictable(self) -> int:
        return 0

    @property
    def protected(self) -> int:
        return 0

    def match(self, tokens: Sequence[int], namespace: Hashable = None) -> Match:
        return Match(0, (), None)

    def lock(self, node: object) -> None:
        pass

    def unlock(self, node: object) -> None:
        pass

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[Block], namespace: Hashable = None
    ) -> Inserted:
        """All of it is reported as held already: every block stays the caller's duplicate."""
        return Inserted(len(tokens) // self._block_size * self._block_size, None)

    def evict(self, num_blocks: int) -> list[Block]:
        return []
