"""A block manager to surround another part with: a dict of tables and a list of what the cache
retains."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from reference_engine.slots import Block, Copy, OutOfBlocks


class BlockManager:
    """Looks through everything it holds."""

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0) -> None:
        self.free_blocks = set(range(1, num_blocks))
        self.size = block_size
        self.watermark = watermark
        self.tables: dict[int, list[Block]] = {}
        self.lengths: dict[int, int] = {}
        self.retained: set[Block] = set()

    @property
    def num_free(self) -> int:
        return len(self.free_blocks)

    def table(self, seq: int) -> Sequence[Block]:
        return self.tables[seq]

    def blocks_needed(self, seq: int, num_tokens: int) -> int:
        return -(-num_tokens // self.size) - len(self.tables[seq]) + self._copies(seq, num_tokens)

    def can_admit(self, num_tokens: int, shared: Sequence[Block] = ()) -> bool:
        return self.num_free - (-(-num_tokens // self.size) - len(shared)) >= self.watermark

    def admit(self, seq: int, num_tokens: int, shared: Sequence[Block] = ()) -> list[Block]:
        if not self.can_admit(num_tokens, shared):
            raise OutOfBlocks
        self.tables[seq] = list(shared)
        self.lengths[seq] = 0
        return self._grow(seq, num_tokens)

    def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]:
        if self.blocks_needed(seq, num_tokens) > self.num_free:
            raise OutOfBlocks
        copies = []
        if self._copies(seq, num_tokens):
            fresh = min(self.free_blocks)
            self.free_blocks.remove(fresh)
            copies.append(Copy(self.tables[seq][-1], fresh))
            self.tables[seq][-1] = fresh
        return [copy.dst for copy in copies] + self._grow(seq, num_tokens), copies

    def fork(self, parent: int, child: int) -> None:
        self.tables[child] = list(self.tables[parent])
        self.lengths[child] = self.lengths[parent]

    def truncate(self, seq: int, num_tokens: int) -> list[Block]:
        keep = -(-num_tokens // self.size)
        dropped, self.tables[seq][keep:] = self.tables[seq][keep:], []
        self.lengths[seq] = num_tokens
        return self._fall(dropped)

    def free(self, seq: int) -> list[Block]:
        del self.lengths[seq]
        return self._fall(self.tables.pop(seq))

    def retain(self, blocks: Iterable[Block]) -> None:
        self.retained.update(blocks)

    def release(self, blocks: Iterable[Block]) -> list[Block]:
        self.retained.difference_update(blocks)
        return self._fall(blocks)

    def _copies(self, seq: int, num_tokens: int) -> int:
        """1 when the next position falls into a block that another table lists too, else 0."""
        if num_tokens == self.lengths[seq] or not self.lengths[seq] % self.size:
            return 0
        return int(sum(self.tables[seq][-1] in table for table in self.tables.values()) > 1)

    def _grow(self, seq: int, num_tokens: int) -> list[Block]:
        new = sorted(self.free_blocks)[: self.blocks_needed(seq, num_tokens)]
        self.free_blocks.difference_update(new)
        self.tables[seq] += new
        self.lengths[seq] = num_tokens
        return new

    def _fall(self, blocks: Iterable[Block]) -> list[Block]:
        held = self.retained.union(*self.tables.values())
        fallen = [block for block in blocks if block not in held]
        self.free_blocks.update(fallen)
        return fallen
