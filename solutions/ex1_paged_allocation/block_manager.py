"""Exercise 1: paged allocation, the loose-leaf paper of an inference engine.

Write the class below. It needs nothing but the standard library and the contracts in `reference_engine.slots`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from reference_engine.slots import Block, Copy, OutOfBlocks


class BlockManager:
    """Hands out the KV memory sheet by sheet: a sequence holds as many blocks as its tokens fill, and no more.

    The picture. Contiguous reservation gives each guest a bound notebook long enough for the longest talk and bins the
    empty pages. Here there is a stack of loose sheets. A guest takes a sheet when the last one is full, two guests who
    begin with the same text look at the same sheet, and what nobody looks at goes back on the stack.

    Terms. The pool has `num_blocks` blocks of `block_size` tokens. Block 0 is scratch and never handed out, so
    `num_blocks - 1` can be. A sequence's *block table* lists its blocks in order: the token at position p lives in
    block `table[p // block_size]` at offset `p % block_size`. The *length* is the number of tokens it has reserved, and
    `len(table) == ceil(length / block_size)` always. The *ref* of a block counts the tables that list it plus the
    times it is retained (the prefix cache retains blocks). A block is free exactly when its ref is 0. The *watermark*
    is the number of blocks that `admit` leaves free, so that sequences already running can still grow.

    Numbers. Whatever you are given as a number is an int, and so is whatever you return as one, in a list or alone: a
    bool or an integer of numpy is none, even where it is equal to the right answer.

    Four blocks can be handed out here; which ones you hand out first is up to you, so counts are shown:

    >>> bm = BlockManager(num_blocks=5, block_size=4)
    >>> len(bm.admit(7, 6))                 # 6 tokens: ceil(6 / 4) = 2 blocks
    2
    >>> (bm.num_free, bm.length(7), len(bm.table(7)))
    (2, 6, 2)
    >>> bm.extend(7, 8)                     # positions 6 and 7 still fit the second block
    ([], [])
    >>> new, copies = bm.extend(7, 9)       # position 8 does not
    >>> (len(new), copies, bm.num_free)
    (1, [], 1)
    >>> bm.fork(7, 8)                       # both read the same three blocks, the last of them partly filled
    >>> [bm.ref(block) for block in bm.table(8)]
    [2, 2, 2]
    >>> bm.blocks_needed(8, 10)             # position 9 falls into a block that two tables list
    1
    >>> new, copies = bm.extend(8, 10)      # so sequence 8 gets a copy of it, and writes there
    >>> (copies[0].src == bm.table(7)[2], copies[0].dst == bm.table(8)[2] == new[0], len(copies))
    (True, True, 1)
    >>> bm.extend(7, 10)                    # the last owner writes in place
    ([], [])
    >>> bm.can_admit(1)
    False
    >>> len(bm.free(7)), len(bm.free(8)), bm.num_free       # the first two blocks fall free with their last table
    (1, 3, 4)

    Every method keeps this promise: it does all of what it says, or it raises and nothing has changed. No method looks
    through the pool: time goes with the blocks a call touches, and an `extend` that needs no block is O(1). A list that
    is returned is the caller's, who may change it, and so is one that is handed over: keep neither (`table` apart), and
    change none that you are given.

    From PagedAttention (vLLM, SOSP'23).
    """

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0) -> None:
        """An empty pool: blocks 1 .. num_blocks - 1 are free, there is no sequence.

        num_blocks: blocks in the pool, the scratch block 0 included. block_size: tokens a block. watermark: blocks that
        `admit` must leave free.
        Raises ValueError when num_blocks < 2 or block_size < 1.
        """
        ### BEGIN SOLUTION
        if num_blocks < 2:
            raise ValueError(f"num_blocks is {num_blocks}: block 0 is scratch, so 2 is the least")
        if block_size < 1:
            raise ValueError(f"block_size is {block_size}")
        self._block_size = block_size
        self._watermark = watermark
        self._free = list(range(num_blocks - 1, 0, -1))
        self._refs: dict[Block, int] = {}
        self._retained: dict[Block, int] = {}
        self._tables: dict[int, list[Block]] = {}
        self._lengths: dict[int, int] = {}
        ### END SOLUTION

    @property
    def num_free(self) -> int:
        """How many blocks can be handed out now: those with ref 0, the watermark included, block 0 not. O(1)."""
        ### BEGIN SOLUTION
        return len(self._free)
        ### END SOLUTION

    def length(self, seq: int) -> int:
        """How many tokens the sequence has reserved. Raises KeyError for an unknown sequence."""
        ### BEGIN SOLUTION
        return self._lengths[seq]
        ### END SOLUTION

    def table(self, seq: int) -> Sequence[Block]:
        """The blocks of the sequence in order, ceil(length / block_size) of them.

        You may return the list you keep: callers read it at once and never change it. Raises KeyError for an unknown
        sequence.
        """
        ### BEGIN SOLUTION
        return self._tables[seq]
        ### END SOLUTION

    def ref(self, block: Block) -> int:
        """How often the block is referenced: tables that list it plus retains. 0 for a free block and for scratch."""
        ### BEGIN SOLUTION
        return self._refs.get(block, 0)
        ### END SOLUTION

    def blocks_needed(self, seq: int, num_tokens: int) -> int:
        """How many blocks `extend(seq, num_tokens)` would take, the one for a copy included. Changes nothing.

        With block_size 4 and length 6: 0 for 8 tokens, 1 for 9, and one more each if the second block has ref > 1.
        Raises KeyError for an unknown sequence, ValueError when num_tokens is below the length.
        """
        ### BEGIN SOLUTION
        length = self._lengths[seq]
        if num_tokens < length:
            raise ValueError(f"sequence {seq} has {length} tokens: it cannot be extended to {num_tokens}")
        return self._blocks_for(num_tokens) - len(self._tables[seq]) + self._diverges(seq, num_tokens)
        ### END SOLUTION

    def can_admit(self, num_tokens: int, shared: Sequence[Block] = ()) -> bool:
        """Whether `admit(seq, num_tokens, shared)` would succeed for a sequence that does not exist yet.

        Exactly that: the blocks it would take beyond `shared` are free, and at least `watermark` blocks stay free.
        False too for what `admit` refuses with ValueError. Changes nothing, raises nothing.
        """
        ### BEGIN SOLUTION
        return not self._refused(num_tokens, shared) and self._has_room(num_tokens, shared)
        ### END SOLUTION

    def admit(self, seq: int, num_tokens: int, shared: Sequence[Block] = ()) -> list[Block]:
        """Create sequence `seq` with `num_tokens` tokens; the new blocks only, in any order.

        seq: any int, 0 and negative ones too. shared: any sequence of blocks that somebody references already (a cached
        prefix). They open the table in their order, and each gains one ref; the other ceil(num_tokens / block_size) -
        len(shared) blocks are fresh, with ref 1. There may be none: then no block has to be free but the watermark.
        Raises ValueError when seq exists, num_tokens < 1, or `shared` holds a free block (scratch is one), a block
        twice, or more than ceil(num_tokens / block_size) blocks; OutOfBlocks when blocks are lacking or fewer than
        `watermark` would stay free.
        """
        ### BEGIN SOLUTION
        if seq in self._tables:
            raise ValueError(f"sequence {seq} exists already")
        refused = self._refused(num_tokens, shared)
        if refused:
            raise ValueError(refused)
        if not self._has_room(num_tokens, shared):
            raise OutOfBlocks(f"{num_tokens} tokens do not fit: {len(self._free)} blocks are free")
        for block in shared:
            self._refs[block] += 1
        new = self._take(self._blocks_for(num_tokens) - len(shared))
        self._tables[seq] = [*shared, *new]
        self._lengths[seq] = num_tokens
        return new
        ### END SOLUTION

    def extend(self, seq: int, num_tokens: int) -> tuple[list[Block], list[Copy]]:
        """Grow the sequence TO num_tokens tokens; the new blocks, and the copies to run before anything is written.

        The caller will write positions [old length, num_tokens). If the first of them falls into a block with ref > 1,
        others still read that block: it is replaced in this table by a fresh block and one Copy(old, fresh) is
        returned; the fresh block is one of the new ones, in any order, the old one loses a ref. Apart from that one
        replacement a table grows at its end only. Growing to the present length writes nothing and returns ([], []).
        May use the watermark: it is kept for this.
        Raises KeyError for an unknown sequence, ValueError when num_tokens is below the length, OutOfBlocks when fewer
        than `blocks_needed(seq, num_tokens)` blocks are free.
        """
        ### BEGIN SOLUTION
        length = self._lengths[seq]
        table = self._tables[seq]
        within = length <= num_tokens <= len(table) * self._block_size
        if within and (num_tokens == length or self._refs[table[-1]] == 1):
            self._lengths[seq] = num_tokens
            return [], []
        needed = self.blocks_needed(seq, num_tokens)
        if needed > len(self._free):
            raise OutOfBlocks(
                f"sequence {seq} needs {needed} blocks for {num_tokens} tokens: {len(self._free)} are free"
            )
        new = self._take(needed)
        self._lengths[seq] = num_tokens
        if len(table) + needed == self._blocks_for(num_tokens):
            table += new
            return new, []
        shared, table[-1] = table[-1], new[0]
        table += new[1:]
        self._refs[shared] -= 1
        return new, [Copy(shared, new[0])]
        ### END SOLUTION

    def truncate(self, seq: int, num_tokens: int) -> list[Block]:
        """Shrink the sequence TO num_tokens tokens; the blocks whose ref fell to 0, in any order.

        Blocks that no longer hold a token leave the table and lose a ref. Nothing is copied: a tail that others read
        too stays as it is until somebody writes into it. Shrinking to 0 leaves an empty table; the sequence goes on.
        Raises KeyError for an unknown sequence, ValueError when num_tokens < 0 or above the length.
        """
        ### BEGIN SOLUTION
        length = self._lengths[seq]
        if not 0 <= num_tokens <= length:
            raise ValueError(f"sequence {seq} has {length} tokens: it cannot be truncated to {num_tokens}")
        table = self._tables[seq]
        keep = self._blocks_for(num_tokens)
        dropped = table[keep:]
        del table[keep:]
        self._lengths[seq] = num_tokens
        return self._unref(reversed(dropped))
        ### END SOLUTION

    def fork(self, parent: int, child: int) -> None:
        """Create sequence `child` with the length and the table of `parent`: every block shared, the partial tail too.

        No block is taken; whoever writes into a shared block later gets a copy then (`extend`).
        Raises KeyError when parent is unknown, ValueError when child exists.
        """
        ### BEGIN SOLUTION
        table = self._tables[parent]
        if child in self._tables:
            raise ValueError(f"sequence {child} exists already")
        for block in table:
            self._refs[block] += 1
        self._tables[child] = list(table)
        self._lengths[child] = self._lengths[parent]
        ### END SOLUTION

    def free(self, seq: int) -> list[Block]:
        """Forget the sequence; the blocks whose ref fell to 0, in any order. Its id is unknown again, and free.

        Raises KeyError for an unknown sequence.
        """
        ### BEGIN SOLUTION
        table = self._tables.pop(seq)
        del self._lengths[seq]
        return self._unref(reversed(table))
        ### END SOLUTION

    def retain(self, blocks: Iterable[Block]) -> None:
        """Add one reference to each block, as the prefix cache does to what it keeps; a block listed twice gains two.

        Raises ValueError when one of them is free, as scratch always is. `blocks` may be any iterable, a generator too,
        and empty.
        """
        ### BEGIN SOLUTION
        blocks = list(blocks)
        for block in blocks:
            if block not in self._refs:
                raise ValueError(f"block {block} is free: it cannot be retained")
        for block in blocks:
            self._refs[block] += 1
            self._retained[block] = self._retained.get(block, 0) + 1
        ### END SOLUTION

    def release(self, blocks: Iterable[Block]) -> list[Block]:
        """Take back one `retain` of each block; the blocks whose ref fell to 0, in any order.

        Raises ValueError when a block is released more often than it was retained, even if tables still list it: those
        references are not the caller's to give back. `blocks` may be any iterable, and empty.
        """
        ### BEGIN SOLUTION
        blocks = list(blocks)
        for block, times in Counter(blocks).items():
            if times > self._retained.get(block, 0):
                raise ValueError(f"block {block} is released more often than it was retained")
        for block in blocks:
            self._retained[block] -= 1
            if not self._retained[block]:
                del self._retained[block]
        return self._unref(blocks)
        ### END SOLUTION

    ### BEGIN SOLUTION
    def _blocks_for(self, num_tokens: int) -> int:
        """ceil(num_tokens / block_size)."""
        return -(-num_tokens // self._block_size)

    def _diverges(self, seq: int, num_tokens: int) -> bool:
        """Whether the first position written by `extend(seq, num_tokens)` falls into a block that others read too."""
        length = self._lengths[seq]
        written_into = length < num_tokens and length % self._block_size
        return bool(written_into) and self._refs[self._tables[seq][-1]] > 1

    def _refused(self, num_tokens: int, shared: Sequence[Block]) -> str:
        """Why `admit` raises ValueError for these arguments; empty when it does not."""
        if num_tokens < 1:
            return f"num_tokens is {num_tokens}: a sequence begins with 1 token at least"
        if len(shared) > self._blocks_for(num_tokens):
            return f"{len(shared)} shared blocks are too many for {num_tokens} tokens"
        if len(set(shared)) < len(shared):
            return f"shared blocks are repeated: {list(shared)}"
        free = [block for block in shared if block not in self._refs]
        return f"shared block {free[0]} is free" if free else ""

    def _has_room(self, num_tokens: int, shared: Sequence[Block]) -> bool:
        """Whether the blocks beyond `shared` are free and the watermark stays."""
        return len(self._free) - (self._blocks_for(num_tokens) - len(shared)) >= self._watermark

    def _take(self, count: int) -> list[Block]:
        """`count` blocks off the free list, each with ref 1. There are enough."""
        new = [self._free.pop() for _ in range(count)]
        self._refs.update(dict.fromkeys(new, 1))
        return new

    def _unref(self, blocks: Iterable[Block]) -> list[Block]:
        """Take one ref of each block, in order; those whose ref fell to 0 go back to the free list."""
        fallen = []
        for block in blocks:
            self._refs[block] -= 1
            if not self._refs[block]:
                del self._refs[block]
                fallen.append(block)
        self._free += fallen
        return fallen

    ### END SOLUTION
