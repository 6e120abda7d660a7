"""A trace before it is played: moves chosen on the specification, in blocks that have no ids yet.

Which ids a part hands out is its own affair, but how many, to whom, and which are free is not. So a trace can be
written without the part: the script lets the specification hand out blocks, the lowest number first, and notes every
move. When it is played (`graders.ex1_paged_allocation.session`), those numbers are names for the blocks that the part
handed out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graders.ex1_paged_allocation.specification import Specification

Form = Literal["list", "tuple", "iterator"]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A list of blocks handed to the part: names, or -k for the k-th free one; `alive`: the names in use then."""

    names: tuple[int, ...]
    form: Form
    alive: tuple[int, ...]

    def to_wire(self) -> dict[str, Any]:
        return {"blocks": self.names, "as": self.form, "alive": self.alive}


Argument = int | Blocks


@dataclass(frozen=True, slots=True)
class Move:
    """One call. grown: the sequence whose table it may change at the end. seqs: those alive after it."""

    method: str
    args: tuple[Argument, ...]
    seqs: tuple[int, ...]
    grown: int | None = None
    names: tuple[int, ...] = ()

    def to_wire(self, watched: Sequence[int]) -> list[Any]:
        args = [arg.to_wire() if isinstance(arg, Blocks) else arg for arg in self.args]
        return [self.method, args, [self.seqs, watched], [self.grown, self.names] if self.grown is not None else None]


class Script:
    """The methods of the contract; each notes a move and, if it is lawful, changes `spec` as a right part would.

    refs: whether ref() of every block is looked at after each move.
    """

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0, refs: bool = True) -> None:
        self.spec = Specification(num_blocks, block_size, watermark)
        self.refs = refs
        self.moves: list[Move] = []

    def admit(self, seq: int, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple") -> None:
        args = (seq, num_tokens, self._named(shared, form)) if shared else (seq, num_tokens)
        if self.spec.refuse_admit(seq, num_tokens, shared):
            return self._note("admit", *args)
        new = self.spec.free_blocks[: self.spec.blocks_for(num_tokens) - len(shared)]
        self.spec.admitted(seq, num_tokens, shared, new, [*shared, *new])
        return self._note("admit", *args, grown=seq)

    def extend(self, seq: int, num_tokens: int) -> None:
        if self.spec.refuse_extend(seq, num_tokens):
            return self._note("extend", seq, num_tokens)
        old, copied = self.spec.tables[seq], self.spec.copies(seq, num_tokens)
        new = self.spec.free_blocks[: self.spec.needed(seq, num_tokens)]
        kept = old[:-1] if copied else old
        copies = [(old[-1], new[0])] if copied else []
        self.spec.extended(seq, num_tokens, new, copies, [*kept, *new])
        return self._note("extend", seq, num_tokens, grown=seq)

    def truncate(self, seq: int, num_tokens: int) -> None:
        if not self.spec.refuse_truncate(seq, num_tokens):
            self.spec.drop(seq, num_tokens)
        self._note("truncate", seq, num_tokens)

    def free(self, seq: int) -> None:
        if not self.spec.refuse_unknown(seq):
            self.spec.drop(seq, None)
        self._note("free", seq)

    def fork(self, parent: int, child: int) -> None:
        if not self.spec.refuse_fork(parent, child):
            self.spec.forked(parent, child)
        self._note("fork", parent, child)

    def retain(self, blocks: Sequence[int], form: Form = "list") -> None:
        named = self._named(blocks, form)
        if not self.spec.refuse_retain(blocks):
            self.spec.retained.update(blocks)
        self._note("retain", named)

    def release(self, blocks: Sequence[int], form: Form = "list") -> None:
        named = self._named(blocks, form)
        if not self.spec.refuse_release(blocks):
            self.spec.retained.subtract(blocks)
        self._note("release", named)

    def can_admit(self, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple") -> None:
        self._note("can_admit", num_tokens, *([self._named(shared, form)] if shared else []))

    def blocks_needed(self, seq: int, num_tokens: int) -> None:
        self._note("blocks_needed", seq, num_tokens)

    def length(self, seq: int) -> None:
        self._note("length", seq)

    def table(self, seq: int) -> None:
        self._note("table", seq)

    def _named(self, blocks: Sequence[int], form: Form) -> Blocks:
        free, alive = self.spec.free_blocks, self.spec.referenced
        return Blocks(tuple(-1 - free.index(block) if block in free else block for block in blocks), form, tuple(alive))

    def _note(self, method: str, *args: Argument, grown: int | None = None) -> None:
        seqs = tuple(sorted(self.spec.tables))
        names = tuple(self.spec.tables[grown]) if grown is not None else ()
        self.moves.append(Move(method, args, seqs, grown, names))
