"""Which requests run, and where their KV lies: the engine's own view of the requests, held against
what the parts say.

A seat is a row of the runner's block tables. Blocks are checked when a table changes, and before
each write.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from reference_engine.batch import Tables
from reference_engine.parts import PartError
from reference_engine.sampler import Sampling
from reference_engine.slots import SCRATCH, Block, Request


@dataclass(slots=True)
class RequestState:
    """A request as the engine knows it.

    request: the scheduler's own copy. tokens: prompt + output. computed: tokens with KV. reached:
    the most it ever had. table, seat: its blocks and their row, as of its last chunk; seat None: it
    holds nothing.
    """

    request: Request
    tokens: list[int]
    prompt: int
    max_new: int
    eos: int | None
    rule: Sampling
    seed: int
    computed: int = 0
    reached: int = 0
    table: tuple[Block, ...] = ()
    seat: int | None = None
    offered: bool = False

    @property
    def id(self) -> int:
        """The request's id."""
        return self.request.id

    @property
    def said(self) -> int:
        """Tokens of its output."""
        return len(self.tokens) - self.prompt

    @property
    def remaining(self) -> int:
        """Tokens that it may still say."""
        return self.max_new - len(self.tokens) + self.prompt

    @property
    def barred(self) -> int | None:
        """The EOS that it must not say yet."""
        return self.eos if self.said < self.rule.min_new else None

    @property
    def guessable(self) -> bool:
        """Whether its next tokens may be guessed: nobody asks about their logits, and any of them
        may be said."""
        return self.rule.scores is None and self.barred is None

    def kept(self, said: Sequence[int]) -> list[int]:
        """What of `said` belongs to the output: up to EOS, which is kept, and to max_new."""
        kept = list(said[: self.remaining])
        if self.eos in kept:
            del kept[kept.index(self.eos) + 1 :]
        return kept

    @property
    def ended(self) -> bool:
        """Whether its output is complete."""
        said = len(self.tokens) - self.prompt
        return said == self.max_new or (said > 0 and self.tokens[-1] == self.eos)


class RunningRequests:
    """Seats, block tables, and how many tables list each block. `tables` are the runner's."""

    def __init__(self, tables: Tables, *, seats: int, num_blocks: int, block_size: int) -> None:
        self._tables = tables
        self._block_size = block_size
        self._num_blocks = num_blocks
        self._free = list(range(seats))[::-1]
        self._listed = [0] * num_blocks

    def place(self, state: RequestState, table: Sequence[Block], reserved: int, first: int) -> int:
        """Take note of the table of a request that holds `reserved` tokens and will write from
        `first` on. The seat.

        Raises PartError when the table is no table, too short, or when others read what will be
        written.
        """
        try:
            table = tuple(table)
        except TypeError:
            raise PartError(
                "block_manager", f"table({state.id}) returned {table!r}, not a list of blocks"
            ) from None
        if table != state.table or state.seat is None:
            self._check(state, table)
            self._put(state, table)
        if len(table) * self._block_size < reserved:
            raise PartError(
                "block_manager",
                f"the table of request {state.id} has {len(table)} blocks of {self._block_size} slots, "
                f"but {reserved} tokens were reserved",
            )
        for block in table[first // self._block_size : -(-reserved // self._block_size)]:
            if self._listed[block] > 1:
                raise PartError(
                    "block_manager",
                    f"request {state.id} is about to write block {block}, which another table lists",
                )
        assert state.seat is not None
        return state.seat

    def shrink(self, state: RequestState, table: Sequence[Block]) -> None:
        """Take note that a request gave up the end of its table."""
        if state.seat is not None and len(table) < len(state.table):
            self._check(state, tuple(table))
            self._put(state, tuple(table))

    def list_held(self, table: Sequence[Block], times: int) -> None:
        """Take note that a prompt is held for samples (1), or no longer (-1): nobody may write to
        its blocks."""
        for block in table:
            self._listed[block] += times

    def leave(self, state: RequestState) -> None:
        """The request gives seat and blocks back, and has no KV any more."""
        for block in state.table:
            self._listed[block] -= 1
        if state.seat is not None:
            self._tables.put(state.seat, ())
            self._free.append(state.seat)
        state.table, state.seat, state.computed, state.offered = (), None, 0, False

    def _put(self, state: RequestState, table: tuple[Block, ...]) -> None:
        for block in state.table:
            self._listed[block] -= 1
        for block in table:
            self._listed[block] += 1
        if state.seat is None:
            state.seat = self._free.pop()
        state.table = table
        self._tables.put(state.seat, table)

    def _check(self, state: RequestState, table: tuple[Block, ...]) -> None:
        whose = f"the table of request {state.id} lists"
        for block in table:
            if type(block) is not int or not SCRATCH < block < self._num_blocks:
                what = (
                    "block 0, which is scratch"
                    if block == SCRATCH
                    else f"{block!r}, which is no block of the pool"
                )
                raise PartError("block_manager", f"{whose} {what}")
        if len(set(table)) != len(table):
            twice = next(block for block in table if table.count(block) > 1)
            raise PartError("block_manager", f"{whose} block {twice} twice")
        if len(table) > self._tables.array.shape[1]:
            raise PartError(
                "block_manager", f"{whose} {len(table)} blocks, more than any request can need"
            )
