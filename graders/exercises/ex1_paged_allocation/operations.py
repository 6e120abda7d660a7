"""A trace before it is played: moves chosen on the specification, in blocks that have no ids yet.

Which ids a part hands out is its own affair, but how many, to whom, and which are free is not. So a
trace can be written without the part: the script lets the specification hand out blocks, the lowest
number first, and notes every move. When it is played
(`graders.exercises.ex1_paged_allocation.judge`), those numbers are names for the blocks that the
part handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from graders.exercises.ex1_paged_allocation.specification import BlockManagerSpec

MANY = ("forks", "leave", "rounds")  # moves that are many calls
Form = Literal["list", "tuple", "iterator", "array"]


@dataclass(frozen=True, slots=True)
class Blocks:
    """A list of blocks handed to the part: names, 0 for scratch, -k for the k-th free one; alive:
    names in use."""

    names: tuple[int, ...]
    form: Form
    alive: tuple[int, ...]

    def to_wire(self) -> dict[str, Any]:
        return {"blocks": self.names, "as": self.form, "alive": self.alive}

    def among(self, known: Mapping[int, int], free: Sequence[int]) -> list[int] | None:
        """The blocks that are meant, given those in use by name and the free ones; None when one is
        not there."""
        if any(name not in known if name > 0 else -name > len(free) for name in self.names):
            return None
        return [known[name] if name > 0 else free[-name - 1] if name else 0 for name in self.names]


@dataclass(frozen=True, slots=True)
class Call:
    """One of many that are made in one go."""

    method: str
    args: tuple[int | Blocks, ...]

    def to_wire(self) -> list[Any]:
        return [
            self.method,
            [arg.to_wire() if isinstance(arg, Blocks) else arg for arg in self.args],
        ]


Argument = int | Blocks | tuple[int, ...] | tuple[Call, ...]


@dataclass(frozen=True, slots=True)
class BlockManagerCall:
    """One call, or many in one. grown: the sequence whose table it may change at the end. seqs:
    those to look at after it.

    refused: it has to be.
    """

    method: str
    args: tuple[Argument, ...]
    seqs: tuple[int, ...]
    grown: int | None = None
    names: tuple[int, ...] = ()
    refused: bool = False

    @property
    def subjects(self) -> tuple[int, ...]:
        """The sequences that it is about; of a fork both."""
        named = self.args[: 2 if self.method == "fork" else 1]
        return tuple(arg for arg in named if isinstance(arg, int))

    def to_wire(self, watched: Sequence[int]) -> list[Any]:
        args = [_sent(arg) for arg in self.args]
        return [
            self.method,
            args,
            [self.seqs, watched],
            [self.grown, self.names] if self.grown is not None else None,
        ]


def _sent(arg: Argument) -> Any:
    if isinstance(arg, tuple):
        return [item.to_wire() if isinstance(item, Call) else item for item in arg]
    return arg.to_wire() if isinstance(arg, Blocks) else arg


class BlockManagerScript:
    """The methods of the contract; each notes a move and, if it is lawful, changes `spec` as a
    right part would.

    refs: whether ref() of every block is looked at after each move, that of scratch too.
    """

    def __init__(
        self, num_blocks: int, block_size: int, *, watermark: int = 0, refs: bool = True
    ) -> None:
        self.spec = BlockManagerSpec(num_blocks, block_size, watermark)
        self.refs = refs
        self.moves: list[BlockManagerCall] = []

    def admit(
        self, seq: int, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple"
    ) -> None:
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
            self.spec.retain(blocks)
        self._note("retain", named, refused=refused)

    def release(self, blocks: Sequence[int], form: Form = "list") -> None:
        named = self._named(blocks, form)
        refused = bool(self.spec.refuse_release(blocks))
        if not refused:
            self.spec.release(blocks)
        self._note("release", named, refused=refused)

    def can_admit(self, num_tokens: int, shared: Sequence[int] = (), form: Form = "tuple") -> None:
        self._note("can_admit", num_tokens, *([self._named(shared, form)] if shared else []))

    def blocks_needed(self, seq: int, num_tokens: int) -> None:
        self._note("blocks_needed", seq, num_tokens, refused=bool(self.spec.refuse_unknown(seq)))

    def length(self, seq: int) -> None:
        self._note("length", seq, refused=bool(self.spec.refuse_unknown(seq)))

    def table(self, seq: int) -> None:
        self._note("table", seq, refused=bool(self.spec.refuse_unknown(seq)))

    def forks(self, parent: int, first: int, count: int) -> None:
        """So many forks of one sequence, which are called `first` and so on."""
        for child in range(first, first + count):
            self.spec.forked(parent, child)
        self._note("forks", parent, first, count)

    def leave(self, seqs: Sequence[int]) -> None:
        """Sequences are freed, one after the other."""
        for seq in seqs:
            self.spec.drop(seq, None)
        self._note("leave", tuple(seqs))

    def rounds(self, count: int, story: Callable[[BlockManagerScript], None]) -> None:
        """Calls that leave nothing behind, over and over; blocks in them are those that stay."""
        before = len(self.moves)
        story(self)
        calls = tuple(
            Call(move.method, tuple(arg for arg in move.args if not isinstance(arg, tuple)))
            for move in self.moves[before:]
        )
        del self.moves[before:]
        self._note("rounds", count, calls)

    def shorter(self, played: int) -> Iterator[BlockManagerScript]:
        """The first `played` calls without one of them, and without what makes no sense then.

        Nothing where many are made in one: such a story is written as short as it can be.
        """
        many = any(move.method in MANY for move in self.moves)
        for left_out in reversed(range(played)) if not many else ():
            script = self._again(
                [move for at, move in enumerate(self.moves[:played]) if at != left_out]
            )
            if script is not None:
                yield script

    def _again(self, moves: Sequence[BlockManagerCall]) -> BlockManagerScript | None:
        """These calls, blocks named anew; None if one that had to be refused is lawful now. The
        reverse is left out."""
        spec = self.spec
        script = BlockManagerScript(
            spec.num_blocks, spec.block_size, watermark=spec.watermark, refs=self.refs
        )
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
        """The arguments of another script's call as they are called here; None when a block of it
        is not there."""
        args: list[Any] = []
        for arg in move.args:
            if not isinstance(arg, Blocks):
                args.append(arg)
                continue
            blocks = arg.among(known, self.spec.free_blocks)
            if blocks is None:
                return None
            args += [blocks, arg.form]
        return args

    def _named(self, blocks: Sequence[int], form: Form) -> Blocks:
        free, alive = self.spec.free_blocks, self.spec.referenced
        return Blocks(
            tuple(-1 - free.index(block) if block in free else block for block in blocks),
            form,
            tuple(alive),
        )

    def _note(
        self, method: str, *args: Argument, grown: int | None = None, refused: bool = False
    ) -> None:
        seqs = tuple(sorted(self.spec.tables))
        names = tuple(self.spec.tables[grown]) if grown is not None else ()
        self.moves.append(BlockManagerCall(method, args, seqs, grown, names, refused))
