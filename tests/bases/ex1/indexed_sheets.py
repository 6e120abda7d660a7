"""Exercise 1 from the contract: a sequence is a dictionary from place to block, its table a view of it; references are
kept as a multiset of holders for each block, and blocks that were never used are counted, not listed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from reference_engine.slots import Block, Copy, OutOfBlocks

CACHE = None  # the holder that is no sequence


class _Table(Sequence):
    """The blocks of a sequence in order, read from the dictionary at the time of asking."""

    __slots__ = ("_at",)

    def __init__(self, at: dict[int, Block]) -> None:
        self._at = at

    def __len__(self) -> int:
        return len(self._at)

    def __getitem__(self, place):
        if isinstance(place, slice):
            return [self._at[i] for i in range(*place.indices(len(self._at)))]
        if not -len(self._at) <= place < len(self._at):
            raise IndexError(place)
        return self._at[place % len(self._at)]


class BlockManager:
    __slots__ = ("at", "back", "cached", "holders", "kept", "pool", "size", "tokens", "unused")

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0) -> None:
        if not (num_blocks >= 2 and block_size >= 1):
            raise ValueError("two blocks of one token are the least")
        self.size, self.kept, self.pool = block_size, watermark, num_blocks
        self.unused = 1  # blocks from here on have never been handed out
        self.back: set[Block] = set()
        self.holders: dict[Block, set[int]] = {}
        self.cached: dict[Block, int] = {}
        self.at: dict[int, dict[int, Block]] = {}
        self.tokens: dict[int, int] = {}

    @property
    def num_free(self) -> int:
        return self.pool - self.unused + len(self.back)

    def length(self, seq: int) -> int:
        return self.tokens[seq]

    def table(self, seq: int) -> Sequence[Block]:
        return _Table(self.at[seq])

    def ref(self, block: Block) -> int:
        return len(self.holders.get(block, ())) + self.cached.get(block, 0)

    def blocks_needed(self, seq: int, num_tokens: int) -> int:
        if num_tokens < self.tokens[seq]:
            raise ValueError("shrinking is what truncate is for")
        return len(self._missing(seq, num_tokens))

    def can_admit(self, num_tokens: int, shared: Sequence[Block] = ()) -> bool:
        try:
            self._lawful(num_tokens, shared)
        except (ValueError, OutOfBlocks):
            return False
        return True

    def admit(self, seq: int, num_tokens: int, shared: Sequence[Block] = ()) -> list[Block]:
        if seq in self.at:
            raise ValueError(f"{seq} is here")
        places = self._lawful(num_tokens, shared)
        self.at[seq] = dict(enumerate(shared))
        for block in shared:
            self.holders.setdefault(block, set()).add(seq)
        self.tokens[seq] = num_tokens
        return sorted(self._fill(seq, places), reverse=True)

    def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]:
        if num_tokens < self.tokens[seq]:
            raise ValueError("shrinking is what truncate is for")
        at, places = self.at[seq], self._missing(seq, num_tokens)
        if len(places) > self.num_free:
            raise OutOfBlocks(f"{len(places)} of {self.num_free}")
        old = at.get(places[0]) if places else None
        new = self._fill(seq, places)
        self.tokens[seq] = num_tokens
        if old is None:
            return new, []
        self.holders[old].discard(seq)
        return new[::-1], [Copy(dst=at[places[0]], src=old)]

    def truncate(self, seq: int, num_tokens: int) -> list[Block]:
        if num_tokens > self.tokens[seq] or num_tokens < 0:
            raise ValueError("not within the length")
        at = self.at[seq]
        gone = [at.popitem()[1] for _ in range(len(at) - self._ceil(num_tokens))]
        self.tokens[seq] = num_tokens
        return list(self._let_go(seq, gone))

    def fork(self, parent: int, child: int) -> None:
        at = self.at[parent]
        if child in self.at:
            raise ValueError(f"{child} is here")
        self.at[child], self.tokens[child] = at.copy(), self.tokens[parent]
        for block in at.values():
            self.holders.setdefault(block, set()).add(child)

    def free(self, seq: int) -> list[Block]:
        at = self.at.pop(seq)
        del self.tokens[seq]
        return list(self._let_go(seq, at.values()))

    def retain(self, blocks: Iterable[Block]) -> None:
        blocks = tuple(blocks)
        if any(self.ref(block) == 0 for block in blocks):
            raise ValueError("a free block")
        for block in blocks:
            self.cached[block] = self.cached.get(block, 0) + 1

    def release(self, blocks: Iterable[Block]) -> list[Block]:
        left: dict[Block, int] = {}
        for block in blocks:
            left[block] = left.get(block, self.cached.get(block, 0)) - 1
            if left[block] < 0:
                raise ValueError(f"{block} is not retained so often")
        self.cached.update(left)
        return [block for block in left if self._came_back(block)]

    def _ceil(self, tokens: int) -> int:
        whole, part = divmod(tokens, self.size)
        return whole + (part > 0)

    def _lawful(self, tokens: int, shared: Sequence[Block]) -> range:
        """The places that an admission fills with fresh blocks, or why it cannot be."""
        places = range(len(shared), self._ceil(tokens))
        if tokens < 1 or len(shared) > self._ceil(tokens) or len({*shared}) != len(shared):
            raise ValueError("nothing to hold, or too much to share")
        if not all(self.ref(block) for block in shared):
            raise ValueError("a shared block is free")
        if self.num_free - len(places) < self.kept:
            raise OutOfBlocks("the watermark")
        return places

    def _missing(self, seq: int, tokens: int) -> range:
        """The places that need a fresh block before tokens up to here can be written."""
        at, length = self.at[seq], self.tokens[seq]
        first = len(at)
        if length < tokens and length % self.size and self.ref(at[first - 1]) > 1:
            first -= 1
        return range(first, self._ceil(tokens))

    def _fill(self, seq: int, places: Iterable[int]) -> list[Block]:
        new = []
        for place in places:
            if self.back:
                block = self.back.pop()
            else:
                block, self.unused = self.unused, self.unused + 1
            self.at[seq][place] = block
            self.holders[block] = {seq}
            new.append(block)
        return new

    def _let_go(self, seq: int, blocks: Iterable[Block]) -> Iterator[Block]:
        for block in [*blocks]:
            self.holders[block].discard(seq)
            if self._came_back(block):
                yield block

    def _came_back(self, block: Block) -> bool:
        if self.ref(block):
            return False
        self.holders.pop(block, None)
        self.cached.pop(block, None)
        self.back.add(block)
        return True
