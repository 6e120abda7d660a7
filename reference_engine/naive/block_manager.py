"""The block manager before paging: every guest reserves a notebook long enough for the longest
talk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reference_engine.slots import Block, Copy, OutOfBlocks


class BlockManager:
    """Contiguous reservation: `admit` sets aside a run of blocks for `max_tokens` tokens, used or
    not.

    It gives right addresses and keeps every promise about them; what it does not keep is the
    promise to waste less than a block. A sequence's table still lists only the blocks that its
    length fills; the rest of its run is set aside, neither free nor referenced. A sequence that
    outgrows its run takes loose blocks, if there are any. Whether a run is free is found by looking
    through the pool.
    """

    def __init__(
        self, num_blocks: int, block_size: int, *, watermark: int = 0, max_tokens: int = 1024
    ) -> None:
        """max_tokens: what is reserved for each sequence, or the whole pool if that is less."""
        if num_blocks < 2 or block_size < 1:
            raise ValueError(f"{num_blocks=}, {block_size=}")
        self._block_size = block_size
        self._watermark = watermark
        self._longest = min(self._blocks_for(max_tokens), num_blocks - 1 - watermark)
        self._free = set(range(1, num_blocks))
        self._refs: Counter[Block] = Counter()
        self._retained: Counter[Block] = Counter()
        self._tables: dict[int, list[Block]] = {}
        self._runs: dict[int, list[Block]] = {}
        self._lengths: dict[int, int] = {}

    @property
    def num_free(self) -> int:
        return len(self._free)

    def length(self, seq: int) -> int:
        return self._lengths[seq]

    def table(self, seq: int) -> Sequence[Block]:
        return self._tables[seq]

    def ref(self, block: Block) -> int:
        return self._refs[block]

    def blocks_needed(self, seq: int, num_tokens: int) -> int:
        """Loose blocks beyond the run of the sequence."""
        if num_tokens < self._lengths[seq]:
            raise ValueError(f"sequence {seq} has {self._lengths[seq]} tokens")
        return max(0, self._growth(seq, num_tokens) - len(self._runs[seq]))

    def can_admit(self, num_tokens: int, shared: Sequence[Block] = ()) -> bool:
        return (
            not self._refused(num_tokens, shared) and self._find_run(num_tokens, shared) is not None
        )

    def admit(self, seq: int, num_tokens: int, shared: Sequence[Block] = ()) -> list[Block]:
        refused = (
            f"sequence {seq} exists" if seq in self._tables else self._refused(num_tokens, shared)
        )
        if refused:
            raise ValueError(refused)
        run = self._find_run(num_tokens, shared)
        if run is None:
            raise OutOfBlocks("no run of free blocks is long enough")
        self._free.difference_update(run)
        self._refs.update(shared)
        self._tables[seq], self._runs[seq], self._lengths[seq] = list(shared), run, 0
        new = self._grow(seq, self._blocks_for(num_tokens) - len(shared))
        self._tables[seq] += new
        self._lengths[seq] = num_tokens
        return new

    def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]:
        if self.blocks_needed(seq, num_tokens) > len(self._free):
            raise OutOfBlocks("the run is used up and no block is free")
        table = self._tables[seq]
        copied = self._copies(seq, num_tokens)
        new = self._grow(seq, self._growth(seq, num_tokens))
        self._lengths[seq] = num_tokens
        if not copied:
            table += new
            return new, []
        old, table[-1:] = table[-1], new
        self._unref([old])
        return new, [Copy(old, new[0])]

    def truncate(self, seq: int, num_tokens: int) -> list[Block]:
        if not 0 <= num_tokens <= self._lengths[seq]:
            raise ValueError(f"sequence {seq} has {self._lengths[seq]} tokens")
        keep = self._blocks_for(num_tokens)
        dropped = self._tables[seq][keep:]
        del self._tables[seq][keep:]
        self._lengths[seq] = num_tokens
        return self._unref(reversed(dropped))

    def fork(self, parent: int, child: int) -> None:
        table = self._tables[parent]
        if child in self._tables:
            raise ValueError(f"sequence {child} exists")
        self._refs.update(table)
        self._tables[child], self._runs[child], self._lengths[child] = (
            list(table),
            [],
            self._lengths[parent],
        )

    def free(self, seq: int) -> list[Block]:
        table = self._tables.pop(seq)
        self._free.update(self._runs.pop(seq))
        del self._lengths[seq]
        return self._unref(reversed(table))

    def retain(self, blocks: Iterable[Block]) -> None:
        blocks = list(blocks)
        if not all(self._refs[block] for block in blocks):
            raise ValueError("a free block cannot be retained")
        self._refs.update(blocks)
        self._retained.update(blocks)

    def release(self, blocks: Iterable[Block]) -> list[Block]:
        blocks = list(blocks)
        if Counter(blocks) - self._retained:
            raise ValueError("released more often than retained")
        self._retained -= Counter(blocks)
        return self._unref(blocks)

    def _blocks_for(self, num_tokens: int) -> int:
        return -(-num_tokens // self._block_size)

    def _copies(self, seq: int, num_tokens: int) -> bool:
        length = self._lengths[seq]
        return (
            length < num_tokens
            and length % self._block_size > 0
            and self._refs[self._tables[seq][-1]] > 1
        )

    def _growth(self, seq: int, num_tokens: int) -> int:
        return self._blocks_for(num_tokens) - len(self._tables[seq]) + self._copies(seq, num_tokens)

    def _refused(self, num_tokens: int, shared: Sequence[Block]) -> str:
        if num_tokens < 1 or len(shared) > self._blocks_for(num_tokens):
            return f"{num_tokens} tokens with {len(shared)} shared blocks"
        if len(set(shared)) < len(shared) or not all(self._refs[block] for block in shared):
            return f"shared blocks {list(shared)} are free or repeated"
        return ""

    def _find_run(self, num_tokens: int, shared: Sequence[Block]) -> list[Block] | None:
        """The first run of adjacent free blocks for the longest talk; None when there is none above
        the watermark."""
        count = max(self._longest, self._blocks_for(num_tokens)) - len(shared)
        if len(self._free) - count < self._watermark:
            return None
        run: list[Block] = []
        for block in sorted(self._free):
            run = [*run, block] if run and run[-1] == block - 1 else [block]
            if len(run) >= count:
                return run[:count]
        return [] if count < 1 else None

    def _grow(self, seq: int, count: int) -> list[Block]:
        """So many blocks for a table, from the run first; each gets its first ref."""
        run = self._runs[seq]
        new = run[:count]
        del run[:count]
        new += [self._free.pop() for _ in range(count - len(new))]
        self._refs.update(new)
        return new

    def _unref(self, blocks: Iterable[Block]) -> list[Block]:
        fallen = []
        for block in blocks:
            self._refs[block] -= 1
            if not self._refs[block]:
                del self._refs[block]
                fallen.append(block)
        self._free.update(fallen)
        return fallen
