"""KV memory whose slots hold, instead of numbers, the text that they stand for; every read is
compared with it.

The KV of position p of a request depends on its tokens 0 .. p and on nothing else. So a slot holds
the number of that text (see `toy`) and who wrote it in which step, and a read is right exactly when
the numbers are equal.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graders.checking.failure import Deviation
from graders.simulation.toy_model import Prefix, TextNumbers

NOTHING: Prefix = -1  # never written
REJECTED: Prefix = -2  # the KV of a guess that was not accepted


@dataclass(frozen=True, slots=True)
class SlotWriter:
    """Who wrote a slot: the request, the position it then had, the step. A copied block keeps its
    writers."""

    request: int
    position: int
    step: int


@dataclass(frozen=True, slots=True)
class Access:
    """One request's use of its memory in one step: the text of positions [0, len(text)), through
    its block table.

    start: the first position that the step writes. rejected: how many slots after the text it fills
    with guesses that will not be accepted.
    """

    request: int
    start: int
    text: Sequence[Prefix]
    table: Sequence[int]
    rejected: int = 0


class Memory:
    """The pool. Every method raises Deviation for what must not happen."""

    def __init__(self, toy: TextNumbers, num_blocks: int, block_size: int) -> None:
        self.toy = toy
        self.num_blocks = num_blocks
        self.block_size = block_size
        self._text = [[NOTHING] * block_size for _ in range(num_blocks)]
        self._writer: list[list[SlotWriter | None]] = [
            [None] * block_size for _ in range(num_blocks)
        ]

    def step(
        self, number: int, copies: Sequence[tuple[int, int]], accesses: Sequence[Access]
    ) -> None:
        """One step of the engine: block copies in order, then everybody writes, then everybody
        reads."""
        for src, dst in copies:
            self._copy(src, dst)
        written: dict[int, int] = {}
        for access in accesses:
            self._check_table(access)
            self._write(access, number, written)
        for access in accesses:
            self._read(access)

    def _copy(self, src: int, dst: int) -> None:
        for block in (src, dst):
            if not 0 < block < self.num_blocks:
                raise Deviation(
                    f"Copy({src}, {dst}): there is no block {block}.",
                    f"block {block}",
                    self._range(),
                )
        self._text[dst] = list(self._text[src])
        self._writer[dst] = list(self._writer[src])

    def _check_table(self, access: Access) -> None:
        table, who = access.table, f"the table of request {access.request}"
        positions = len(access.text) + access.rejected
        if len(table) * self.block_size < positions:
            message = f"{who} has {len(table)} blocks of {self.block_size}, the step writes {positions} positions."
            raise Deviation(
                message.capitalize(), f"{len(table)} blocks", f"room for {positions} positions"
            )
        strange = [block for block in table if not 0 < block < self.num_blocks]
        if strange:
            raise Deviation(f"Block {strange[0]} is in {who}.", f"{list(table)}", self._range())
        if len(set(table)) < len(table):
            raise Deviation(f"A block is twice in {who}.", f"{list(table)}", "every block once")

    def _write(self, access: Access, step: int, written: dict[int, int]) -> None:
        for position in range(access.start, len(access.text) + access.rejected):
            block, offset = access.table[position // self.block_size], position % self.block_size
            slot = block * self.block_size + offset
            if written.setdefault(slot, access.request) != access.request:
                message = f"Requests {written[slot]} and {access.request} both write slot {slot}, block {block}, in "
                message += f"step {step}."
                raise Deviation(
                    message,
                    f"block {block} in two tables that are written",
                    "a block of its own for each",
                )
            self._text[block][offset] = (
                access.text[position] if position < len(access.text) else REJECTED
            )
            self._writer[block][offset] = SlotWriter(access.request, position, step)

    def _read(self, access: Access) -> None:
        size = self.block_size
        for number in range(-(-len(access.text) // size)):
            due = access.text[number * size : (number + 1) * size]
            block = access.table[number]
            if self._text[block][: len(due)] != due:
                self._wrong(access, number, block, list(due))

    def _wrong(self, access: Access, number: int, block: int, due: list[Prefix]) -> None:
        offset = next(at for at, text in enumerate(due) if self._text[block][at] != text)
        position, slot = number * self.block_size + offset, block * self.block_size + offset
        message = f"Request {access.request} reads position {position} in block {block}, slot {slot}, which holds "
        message += self._holding(access, block, offset) + "."
        raise Deviation(
            message,
            self._holding(access, block, offset),
            f"the KV of its own tokens 0 to {position}",
        )

    def _holding(self, access: Access, block: int, offset: int) -> str:
        text, writer = self._text[block][offset], self._writer[block][offset]
        if writer is None:
            return "nothing: it was never written"
        by = f"written by request {writer.request} in step {writer.step}"
        if text == REJECTED:
            return f"a guess that was rejected, {by}"
        if writer.request == access.request:
            return f"position {self.toy.depth(text) - 1} of an earlier text, {by}"
        return f"position {self.toy.depth(text) - 1} of another text, {by}"

    def _range(self) -> str:
        return f"blocks 1 .. {self.num_blocks - 1}"
