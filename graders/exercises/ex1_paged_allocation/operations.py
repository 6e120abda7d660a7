"""A trace before it is played: moves chosen on the specification, in blocks that have no ids yet.

Which ids a part hands out is its own affair, but how many, to whom, and which are free is not. So a trace can be
written without the part: the script lets the specification hand out blocks, the lowest number first, and notes every
move. When it is played (`graders.exercises.ex1_paged_allocation.judge`), those numbers are names for the blocks that
the part handed out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graders.exercises.ex1_paged_allocation.specification import BlockManagerSpec

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
class BlockManagerCall:
    """One call. grown: the sequence whose table it may change at the end. seqs: those alive after it.

    refused: it has to be.
    """

    method: str
    args: tuple[Argument, ...]
    seqs: tuple[int, ...]
    grown: int | None = None
    names: tuple[int, ...] = ()
    refused: bool = False

    def to_wire(self, watched: Sequence[int]) -> list[Any]:
        args = [arg.to_wire() if isinstance(arg, Blocks) else arg for arg in self.args]
        return [self.method, args, [self.seqs, watched], [self.grown, self.names] if self.grown is not None else None]


class BlockManagerScript:
    """The methods of the contract; each notes a move and, if it is lawful, changes `spec` as a right part would.

    refs: whether ref() of every block is looked at after each move.
    """

    def __init__(self, num_blocks: int, block_size: int, *, watermark: int = 0, refs: bool = True) -> None:
        self.spec = BlockManagerSpec(num_blocks, block_size, watermark)
        self.refs = refs
        self.moves: list[BlockManagerCall] = []

    def admit(self, seq: int, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple") -> None:
        args = (seq, num_tokens, self._named(shared, form)) if shared else (seq, num_tokens)
        if self.spec.refuse_admit(seq, num_tokens, shared):
            return self._note("admit", *args, refused=True)
        new = self.spec.free_blocks[: self.spec.blocks_for(num_tokens) - len(shared)]
        self.spec.admitted(seq, num_tokens, shared, new, [*shared, *new])
        return self._note("admit", *args, grown=seq)

    def extend(self, seq: int, num_tokens: int) -> None:
        if self.spec.refuse_extend(seq, num_tokens):
            return self._note("extend", seq, num_tokens, refused=True)
        old, copied = self.spec.tables[seq], self.spec.copies(seq, num_tokens)
        new = self.spec.free_blocks[: self.spec.needed(seq, num_tokens)]
        kept = old[:-1] if copied else old
        copies = [(old[-1], new[0])] if copied else []
        self.spec.extended(seq, num_tokens, new, copies, [*kept, *new])
        return self._note("extend", seq, num_tokens, grown=seq)

    def truncate(self, seq: int, num_tokens: int) -> None:
        refused = bool(self.spec.refuse_truncate(seq, num_tokens))
        if not refused:
            self.spec.drop(seq, num_tokens)
        self._note("truncate", seq, num_tokens, refused=refused)

    def free(self, seq: int) -> None:
        refused = bool(self.spec.refuse_unknown(seq))
        if not refused:
            self.spec.drop(seq, None)
        self._note("free", seq, refused=refused)

    def fork(self, parent: int, child: int) -> None:
        refused = bool(self.spec.refuse_fork(parent, child))
        if not refused:
            self.spec.forked(parent, child)
        self._note("fork", parent, child, refused=refused)

    def retain(self, blocks: Sequence[int], form: Form = "list") -> None:
        named = self._named(blocks, form)
        refused = bool(self.spec.refuse_retain(blocks))
        if not refused:
            self.spec.retained.update(blocks)
        self._note("retain", named, refused=refused)

    def release(self, blocks: Sequence[int], form: Form = "list") -> None:
        named = self._named(blocks, form)
        refused = bool(self.spec.refuse_release(blocks))
        if not refused:
            self.spec.retained.subtract(blocks)
        self._note("release", named, refused=refused)

    def can_admit(self, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple") -> None:
        self._note("can_admit", num_tokens, *([self._named(shared, form)] if shared else []))

    def blocks_needed(self, seq: int, num_tokens: int) -> None:
        self._note("blocks_needed", seq, num_tokens, refused=bool(self.spec.refuse_unknown(seq)))

    def length(self, seq: int) -> None:
        self._note("length", seq, refused=bool(self.spec.refuse_unknown(seq)))

    def table(self, seq: int) -> None:
        self._note("table", seq, refused=bool(self.spec.refuse_unknown(seq)))

    def shorter(self, played: int) -> Iterator[BlockManagerScript]:
        """The first `played` calls without one of them, and without what makes no sense then."""
        for left_out in reversed(range(played)):
            script = self._again([move for at, move in enumerate(self.moves[:played]) if at != left_out])
            if script is not None:
                yield script

    def _again(self, moves: Sequence[BlockManagerCall]) -> BlockManagerScript | None:
        """These calls, blocks named anew; None if one that had to be refused is lawful now. The reverse is left out."""
        spec = self.spec
        script = BlockManagerScript(spec.num_blocks, spec.block_size, watermark=spec.watermark, refs=self.refs)
        known: dict[int, int] = {}
        for move in moves:
            args = script._here(move, known)
            if args is None:
                continue
            getattr(script, move.method)(*args)
            if move.refused and not script.moves[-1].refused:
                return None
            if script.moves[-1].refused and not move.refused:
                script.moves.pop()
            elif move.grown is not None:
                known |= zip(move.names, script.spec.tables[move.grown], strict=False)
        return script

    def _here(self, move: BlockManagerCall, known: dict[int, int]) -> list[Any] | None:
        """The arguments of another script's call as they are called here; None when a block of it is not there."""
        args: list[Any] = []
        free = self.spec.free_blocks
        for arg in move.args:
            if isinstance(arg, int):
                args.append(arg)
                continue
            if any(name not in known if name > 0 else -name > len(free) for name in arg.names):
                return None
            args += [[known[name] if name > 0 else free[-name - 1] for name in arg.names], arg.form]
        return args

    def _named(self, blocks: Sequence[int], form: Form) -> Blocks:
        free, alive = self.spec.free_blocks, self.spec.referenced
        return Blocks(tuple(-1 - free.index(block) if block in free else block for block in blocks), form, tuple(alive))

    def _note(self, method: str, *args: Argument, grown: int | None = None, refused: bool = False) -> None:
        seqs = tuple(sorted(self.spec.tables))
        names = tuple(self.spec.tables[grown]) if grown is not None else ()
        self.moves.append(BlockManagerCall(method, args, seqs, grown, names, refused))
