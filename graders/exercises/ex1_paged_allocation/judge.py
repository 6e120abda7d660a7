"""One block manager under test: a script is played on it, every outcome and look is compared with
the contract."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Deviation, Refusals, plural
from graders.checking.replies import Raised, Reply, Returned, returned_again, shown, value_or_raised
from graders.exercises.ex1_paged_allocation.operations import BlockManagerScript, Blocks, Call
from graders.exercises.ex1_paged_allocation.specification import OUT_OF_BLOCKS, BlockManagerSpec
from graders.sandbox import protocol
from graders.sandbox.guest.callers_own import SCRAWL

NUM_FREE = "num_free"
IMPORTS = "from array import array\n\nfrom block_manager import BlockManager\n"
SCRAWLED = f"for each in answer if type(answer) is tuple else [answer]:\n    each[:] = [{SCRAWL}] * len(each)"


class Snapshot:
    """The driver's snapshot after a call: num_free, [length, table] of each watched sequence, ref
    of each block."""

    def __init__(self, data: Any, seqs: list[int], blocks: list[int]) -> None:
        if type(data) is not list or [type(item) for item in data[1:]] != [list, list]:
            raise protocol.ProtocolError("a snapshot that is not one")
        if len(data[1]) != len(seqs) or len(data[2]) != len(blocks):
            raise protocol.ProtocolError("a snapshot of something else")
        if not all(type(pair) is list and len(pair) == 2 for pair in data[1]):
            raise protocol.ProtocolError("a snapshot that is not one")
        self.data = data
        self.seqs = seqs
        self.blocks = blocks

    def shows(self, spec: BlockManagerSpec) -> bool:
        """Whether it is exactly as it has to be (True is not 1: hence the comparison of texts)."""
        sequences = [[spec.lengths[seq], spec.tables[seq]] for seq in self.seqs]
        return repr(self.data) == repr(
            [spec.num_free, sequences, [spec.ref(block) for block in self.blocks]]
        )

    @property
    def num_free(self) -> Reply:
        return value_or_raised(self.data[0])

    def length(self, seq: int) -> Reply:
        return value_or_raised(self.data[1][self.seqs.index(seq)][0])

    def table(self, seq: int) -> Reply:
        return value_or_raised(self.data[1][self.seqs.index(seq)][1])

    def ref(self, block: int) -> Reply:
        return value_or_raised(self.data[2][self.blocks.index(block)])


class BlockManagerJudge:
    """A script played on the part. Each move is told, and judged by a specification that follows
    the part's own ids.

    `judge` raises Broken at the first deviation.
    """

    def __init__(self, context: CheckContext, script: BlockManagerScript) -> None:
        drafted = script.spec
        self.spec = BlockManagerSpec(drafted.num_blocks, drafted.block_size, drafted.watermark)
        self._script = script
        self._recorder = CallRecorder(context, "block_manager", "bm", IMPORTS)
        self._blocks = list(range(drafted.num_blocks)) if script.refs else []
        self._parents: dict[int, int] = {}  # of forked sequences
        self._known: dict[int, int] = {}
        self._over = ""  # of many calls made in one
        self._played = 0

    def judge(self) -> None:
        """Play the trace, compare every outcome and every look with the contract."""
        try:
            self._judge()
        except Broken as broken:
            broken.trace = self
            raise

    def replay(self) -> None:
        """See `graders.checking.failure.Replayable`."""
        script = copy.copy(self._script)
        script.moves = script.moves[: self._played]
        with contextlib.suppress(Broken):
            BlockManagerJudge(self._recorder.context, script).judge()

    def shorter(self) -> Iterator[BlockManagerJudge]:
        """See `graders.checking.shrinking.Trace`."""
        return (
            BlockManagerJudge(self._recorder.context, script)
            for script in self._script.shorter(self._played)
        )

    def _judge(self) -> None:
        self._make()
        for move in self._script.moves:
            self._played += 1
            self._move = move
            args = [self._actual(arg) if isinstance(arg, Blocks) else arg for arg in move.args]
            getattr(self, move.method)(*args)
            if move.grown is not None:
                self._known |= zip(move.names, self.spec.tables[move.grown], strict=True)
        self._recorder.finish()

    def _make(self) -> None:
        spec = self.spec
        keywords = {"watermark": spec.watermark} if spec.watermark else {}
        words = "".join(f", {name}={value}" for name, value in keywords.items())
        written = f"BlockManager({spec.num_blocks}, {spec.block_size}{words})"
        moves = [move.to_wire(self._blocks) for move in self._script.moves]
        raised = self._recorder.play((spec.num_blocks, spec.block_size), keywords, written, moves)
        if raised:
            self._recorder.unexpected(raised, "a block manager")

    def _actual(self, blocks: Blocks) -> list[int]:
        return blocks.among(self._known, self.spec.free_blocks) or []

    # ------------------------------------------------------------ the calls

    def admit(self, seq: int, num_tokens: int, shared: Sequence[int] = ()) -> None:
        refusals = self.spec.refuse_admit(seq, num_tokens, shared)
        reply = self._call(
            f"admit(seq={seq}, num_tokens={num_tokens}{self._shared(shared)})", refusals
        )
        if not refusals:
            if isinstance(reply, Raised) and len(shared) * self.spec.block_size > num_tokens:
                self._refused_partly_filled(reply, num_tokens, shared)
            new = self._blocks_of(self._returned(reply, "a list of the new blocks"))
            self._follow(lambda: self.spec.admitted(seq, num_tokens, shared, new, self._table(seq)))
        self._look(refusals)

    def _refused_partly_filled(self, reply: Raised, num_tokens: int, shared: Sequence[int]) -> None:
        """Raise Broken if it was refused because the last shared block is not full for the
        newcomer."""
        if "ValueError" in reply.kinds:
            message = f"`admit` refused {plural(len(shared), 'shared block')} for {plural(num_tokens, 'token')}, "
            message += (
                f"which fill {self.spec.blocks_for(num_tokens)}: the last of them need not be full."
            )
            habit = "shares full blocks only"
            self._recorder.broken(
                message, got=f"raised {reply}", expected="[]", raised=reply, habit=habit
            )

    def extend(self, seq: int, num_tokens: int) -> None:
        refusals = self.spec.refuse_extend(seq, num_tokens)
        reply = self._call(f"extend(seq={seq}, num_tokens={num_tokens})", refusals)
        if not refusals:
            new, copies = self._pair(self._returned(reply, "(new blocks, copies)"))
            self._follow(lambda: self.spec.extended(seq, num_tokens, new, copies, self._table(seq)))
        self._look(refusals)

    def truncate(self, seq: int, num_tokens: int) -> None:
        refusals = self.spec.refuse_truncate(seq, num_tokens)
        reply = self._call(f"truncate(seq={seq}, num_tokens={num_tokens})", refusals)
        if not refusals:
            freed = self._blocks_of(self._returned(reply, "a list of the freed blocks"))
            self._follow(lambda: self.spec.dropped("truncate", seq, num_tokens, freed))
        self._look(refusals)

    def free(self, seq: int) -> None:
        refusals = self.spec.refuse_unknown(seq)
        reply = self._call(f"free(seq={seq})", refusals)
        if not refusals:
            freed = self._blocks_of(self._returned(reply, "a list of the freed blocks"))
            self._follow(lambda: self.spec.dropped("free", seq, None, freed))
        self._look(refusals)

    def fork(self, parent: int, child: int) -> None:
        refusals = self.spec.refuse_fork(parent, child)
        reply = self._call(f"fork(parent={parent}, child={child})", refusals)
        if not refusals:
            self._returned(reply, "None")
            self.spec.forked(parent, child)
            self._parents[child] = parent
        self._look(refusals)

    def retain(self, blocks: Sequence[int]) -> None:
        refusals = self.spec.refuse_retain(blocks)
        reply = self._call(f"retain({self._written(blocks)})", refusals)
        if not refusals:
            self._returned(reply, "None")
            self.spec.retain(blocks)
        self._look(refusals)

    def release(self, blocks: Sequence[int]) -> None:
        refusals = self.spec.refuse_release(blocks)
        reply = self._call(f"release({self._written(blocks)})", refusals)
        if not refusals:
            freed = self._blocks_of(self._returned(reply, "a list of the freed blocks"))
            self._follow(lambda: self.spec.released(blocks, freed))
        self._look(refusals)

    # ------------------------------------------------------------ many in one

    def forks(self, parent: int, first: int, count: int) -> None:
        """So many forks of one sequence."""
        last = first + count - 1
        code = f"for child in range({first}, {last + 1}):\n    answer = bm.fork({parent}, child)"
        reply = self._call(
            f"fork({parent}, {first})  # and so on: fork({parent}, {last})", {}, "fork", code
        )
        self._returned(reply, "None")
        for child in range(first, last + 1):
            self.spec.forked(parent, child)
            self._parents[child] = parent
        self._look({})

    def leave(self, seqs: Sequence[int]) -> None:
        """Sequences are freed, one after the other."""
        code = f"answer = [block for seq in {list(seqs)} for block in bm.free(seq)]"
        reply = self._call(f"free({seqs[0]})  # and so on: free({seqs[-1]})", {}, "free", code)
        freed = self._blocks_of(self._returned(reply, "lists of the freed blocks"))
        self._follow(lambda: self.spec.all_freed(seqs, freed))
        self._look({})

    def rounds(self, count: int, calls: Sequence[Call]) -> None:
        """Calls that leave nothing behind, over and over."""
        each = [f"{call.method}({', '.join(map(self._plain, call.args))})" for call in calls]
        code = f"import contextlib\n\nfrom reference_engine.slots import OutOfBlocks\n\nfor _ in range({count}):"
        code += "".join(
            f"\n    with contextlib.suppress(OutOfBlocks):\n        answer = bm.{call}"
            for call in each
        )
        reply = self._call(f"{'; '.join(each)}  # {count:,} times over", {}, calls[-1].method, code)
        self._over = (
            f" and the calls before it, {count:,} times over: a little is lost or kept now and then"
        )
        if isinstance(reply, Raised) and reply.frames and not reply.leaving:
            method = reply.frames[0][1]
            message = f"`{method}` raised {reply} among calls that leave nothing behind, made {count:,} times over: "
            message += "is a little lost or kept now and then?"
            self._recorder.broken(
                message, got=reply.told, expected="no exception", method=method, raised=reply
            )
        self._returned(reply, "None")
        self._look({})
        self._over = ""

    def _plain(self, arg: int | Blocks) -> str:
        return f"{self._actual(arg)}" if isinstance(arg, Blocks) else f"{arg}"

    # ------------------------------------------------------------ the questions

    def can_admit(self, num_tokens: int, shared: Sequence[int] = ()) -> None:
        """Asks; the answer must say what `admit` of a new sequence would do."""
        refusals = self.spec.refuse_admit(None, num_tokens, shared)
        reply = self._call(f"can_admit(num_tokens={num_tokens}{self._shared(shared)})", {})
        if isinstance(reply, Raised) and "ValueError" in reply.kinds and "ValueError" in refusals:
            return self._look(refusals)
        answer = self._returned(reply, "True or False")
        if answer is not (not refusals):
            why = next(iter(refusals.values()), "") or self._room(num_tokens, shared)
            verb = "fails" if refusals else "succeeds"
            message = f"`can_admit` says {shown(answer)}, but this admission {verb}: {why}."
            self._recorder.broken(message, got=shown(answer), expected=str(not refusals))
        return self._look({})

    def _room(self, num_tokens: int, shared: Sequence[int]) -> str:
        count = self.spec.blocks_for(num_tokens) - len(shared)
        return f"it takes {count} of {self.spec.num_free} free blocks, the watermark is {self.spec.watermark}"

    def blocks_needed(self, seq: int, num_tokens: int) -> None:
        """Asks; num_tokens >= length unless the sequence is unknown."""
        refusals = self.spec.refuse_unknown(seq)
        reply = self._call(f"blocks_needed(seq={seq}, num_tokens={num_tokens})", refusals)
        if not refusals:
            answer, due = self._returned(reply, "a number"), self.spec.needed(seq, num_tokens)
            if type(answer) is not int or answer != due:
                copy = ", the copy included" if self.spec.copies(seq, num_tokens) else ""
                message = f"`blocks_needed` says {shown(answer)}; extend takes {due}{copy}."
                self._recorder.broken(message, got=shown(answer), expected=f"{due}")
        self._look(refusals)

    def length(self, seq: int) -> None:
        """Asked of a sequence that does not exist."""
        self._call(f"length(seq={seq})", self.spec.refuse_unknown(seq))

    def table(self, seq: int) -> None:
        """Asked of a sequence that does not exist."""
        self._call(f"table(seq={seq})", self.spec.refuse_unknown(seq))

    # ------------------------------------------------------------ judging

    def _call(self, written: str, refusals: Refusals, method: str = "", code: str = "") -> Reply:
        """The next move's outcome; if the contract wants it refused, see that it was. method: the
        move's, if none.

        code: the Python of it, where it is not the call as it is written.
        """
        method, seqs = method or self._move.method, list(self._move.seqs)
        reply, seen = self._recorder.next(method, written, code)
        self._seen = self._recorder.parsed(lambda: Snapshot(seen, seqs, self._blocks))
        if refusals:
            self._must_refuse(method, reply, refusals)
        self._keeps_no_list(method, reply)
        return reply

    def _keeps_no_list(self, method: str, reply: Reply) -> None:
        """Raise Broken if what the caller wrote into a list that it had been given shows."""
        again = returned_again(method, reply.value) if isinstance(reply, Returned) else None
        if again:
            self._recorder.deviates(again)
        for seq, (_, table) in zip(self._seen.seqs, self._seen.data[1], strict=True):
            if type(table) is list and SCRAWL in table:
                self._recorder.tell(
                    f"# the caller writes {SCRAWL} into what `{method}` returned", code=SCRAWLED
                )
                self._recorder.tell(f"bm.table(seq={seq})", shown(table))
                message = f"The list that `{method}` returned is the one that is kept as table({seq}): whatever the "
                message += "caller does with it happens to the table. Return a list of its own."
                self._recorder.broken(message, got=shown(table), expected="a table that stays")

    def _must_refuse(self, method: str, reply: Reply, refusals: Refusals) -> None:
        due, why = " or ".join(refusals), next(iter(refusals.values()))
        if isinstance(reply, Returned):
            message = f"`{method}` must raise {due}: {why}."
            self._recorder.broken(
                message, got=f"returned {shown(reply.value)}", expected=f"raises {due}"
            )
        if reply.is_one_of(refusals):
            return
        if reply.type == OUT_OF_BLOCKS and OUT_OF_BLOCKS in refusals:
            message = f"`{method}` raised an OutOfBlocks of its own making: import it from reference_engine.slots."
        elif reply.leaving or "NotImplementedError" in reply.kinds or not reply.frames:
            self._recorder.unexpected(reply, f"raises {due}")
        else:
            message = f"`{method}` raised {reply.type} where {due} is due: {why}."
        self._recorder.broken(
            message, got=f"raised {reply}", expected=f"raises {due}", raised=reply
        )

    def _shared(self, shared: Sequence[int]) -> str:
        return f", shared={self._written(shared)}" if shared else ""

    def _written(self, blocks: Sequence[int]) -> str:
        """The list of blocks of this move as it was handed over."""
        form = next(arg.form for arg in self._move.args if isinstance(arg, Blocks))
        text = f"{tuple(blocks) if form == 'tuple' else list(blocks)}"
        return {"iterator": f"iter({text})", "array": f"array('q', {text})"}.get(form, text)

    def _returned(self, reply: Reply, expected: str) -> Any:
        if isinstance(reply, Raised):
            if OUT_OF_BLOCKS in reply.kinds:
                free, mark = self.spec.num_free, self.spec.watermark
                binds = (
                    " and the watermark does not bind it"
                    if mark and self._recorder.method == "extend"
                    else ""
                )
                message = (
                    f"`{self._recorder.method}` raised OutOfBlocks although its blocks are free "
                    f"({free} are){binds}."
                )
                self._recorder.broken(
                    message, got=f"raised {reply}", expected=expected, raised=reply
                )
            self._recorder.unexpected(reply, expected)
        return reply.value

    def _follow(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Deviation as deviation:
            self._recorder.deviates(deviation)

    def _blocks_of(self, value: Any) -> list[int]:
        if not _ints(value):
            message = f"`{self._recorder.method}` returned {shown(value)}; a list of blocks (plain ints) is due."
            self._recorder.broken(message, got=shown(value), expected="a list of blocks")
        blocks: list[int] = value
        return blocks

    def _pair(self, value: Any) -> tuple[list[int], list[tuple[int, int]]]:
        if type(value) is not list or len(value) != 2 or type(value[1]) is not list:
            message = (
                f"`extend` returned {shown(value)}; it returns two lists, (new blocks, copies)."
            )
            self._recorder.broken(message, got=shown(value), expected="([new blocks], [copies])")
        self._recorder.steps[-1].answer = f"({shown(value[0])}, {shown(value[1])})"
        copies = []
        for each in value[1]:
            ends = each.get("copy") if type(each) is dict else None
            if type(ends) is not list or [type(end) for end in ends] != [int, int]:
                message = f"`extend` returned {shown(each)} among the copies; a slots.Copy(src, dst) of ints is due."
                self._recorder.broken(message, got=shown(each), expected="Copy(src, dst)")
            copies.append((ends[0], ends[1]))
        return self._blocks_of(value[0]), copies

    # ------------------------------------------------------------ looking

    def _table(self, seq: int) -> list[int]:
        reply = self._recorder.parsed(lambda: self._seen.table(seq))
        if isinstance(reply, Raised) or not _ints(reply.value):
            self._unreadable(
                "table", f"table(seq={seq})", reply, "a sequence of blocks (plain ints)"
            )
        blocks: list[int] = reply.value
        return blocks

    def _unreadable(self, method: str, written: str, reply: Reply, expected: str) -> NoReturn:
        changed_by, self._recorder.method = self._recorder.method, method
        if isinstance(reply, Raised):
            self._recorder.tell(f"bm.{written}", f"raised {reply}")
            self._recorder.unexpected(reply, expected)
        if method == NUM_FREE:
            self._recorder.no_property(method, reply.value)
        self._recorder.tell(f"bm.{written}", shown(reply.value))
        message = f"`{method}` is {shown(reply.value)} after `{changed_by}`; {expected} is due."
        self._recorder.broken(message, got=shown(reply.value), expected=expected)

    def _look(self, refusals: Refusals) -> None:
        """Compare num_free, every table and length, and every ref with the specification."""
        if not self._seen.shows(self.spec):
            self._recorder.parsed(lambda: self._find(self._seen, refusals))

    def _find(self, seen: Snapshot, refusals: Refusals) -> None:
        """Raise Broken for the first thing that is not as it has to be."""
        for seq in seen.seqs:
            if seq not in self._move.subjects and seq in self._related():
                self._bystander(seq, seen.table(seq))
        for seq in self._move.subjects[1:] if not refusals else ():
            self._same(
                "table", f"table(seq={seq})", seen.table(seq), self.spec.tables[seq], refusals
            )
        self._same(NUM_FREE, NUM_FREE, seen.num_free, self.spec.num_free, refusals)
        for seq in seen.seqs:
            self._same(
                "table", f"table(seq={seq})", seen.table(seq), self.spec.tables[seq], refusals
            )
            self._same(
                "length", f"length(seq={seq})", seen.length(seq), self.spec.lengths[seq], refusals
            )
        for block in seen.blocks:
            self._same(
                "ref", f"ref(block={block})", seen.ref(block), self.spec.ref(block), refusals
            )

    def _related(self) -> set[int]:
        """Those that were forked from the sequence of this move, or from which it was."""
        subjects = self._move.subjects
        children = {child for child, parent in self._parents.items() if parent in subjects}
        return children | {self._parents[seq] for seq in subjects if seq in self._parents}

    def _bystander(self, seq: int, reply: Reply) -> None:
        """A fork and its parent have lists of their own: what changes one must not change the
        other."""
        if (
            not isinstance(reply, Returned)
            or reply.value == self.spec.tables[seq]
            or not _ints(reply.value)
        ):
            return
        changed_by, due = self._recorder.method, self.spec.tables[seq]
        self._recorder.tell(f"bm.table(seq={seq})", shown(reply.value))
        message = f"`{changed_by}` of sequence {self._move.subjects[0]} changed the table of sequence {seq} too: "
        message += "do they share one list since `fork`? It has to copy it."
        self._recorder.broken(message, got=shown(reply.value), expected=shown(due), method="fork")

    def _same(self, method: str, written: str, reply: Reply, due: Any, refusals: Refusals) -> None:
        if isinstance(reply, Raised) or type(reply.value) is not type(due):
            self._unreadable(
                method, written, reply, "a list of blocks" if type(due) is list else "a number"
            )
        if repr(reply.value) == repr(due):
            return
        changed_by = self._recorder.method
        self._recorder.tell(f"bm.{written}", shown(reply.value))
        if refusals:
            message = f"`{changed_by}` refused, but not without a trace: {written} is {reply.value}, was {due}."
        else:
            message = f"{written} is {reply.value} after `{changed_by}`{self._over}; {due} due{self._because(method)}."
        habit = self._habit(changed_by, reply.value, due)
        self._recorder.broken(
            message, got=f"{written} == {reply.value}", expected=f"{due}", habit=habit
        )

    def _habit(self, changed_by: str, value: Any, due: Any) -> str:
        """Whose way it looks like that something is `value` and not `due`."""
        if changed_by == "truncate" and type(due) is list and value[: len(due)] == due:
            return "keeps blocks beyond the tokens"
        tail = [block for seq in self._move.subjects[1:] for block in self.spec.tables[seq][-1:]]
        copied = (
            type(due) is list
            and len(value) == len(due)
            and value[:-1] == due[:-1]
            and due[-1:] == tail
        )
        return "copies the tail in fork" if tail and copied else ""

    def _because(self, method: str) -> str:
        if method == NUM_FREE:
            return (
                f": {len(self.spec.referenced)} of {self.spec.num_blocks - 1} blocks are referenced"
            )
        return ": tables that list it, and retains" if method == "ref" else ""


def _ints(value: Any) -> bool:
    return type(value) is list and all(type(item) is int for item in value)


def refuse_constructor(context: CheckContext, num_blocks: int, block_size: int) -> None:
    """The constructor must raise ValueError for these arguments."""
    recorder = CallRecorder(context, "block_manager", "bm", IMPORTS)
    raised = recorder.new((num_blocks, block_size), {}, f"BlockManager({num_blocks}, {block_size})")
    if raised and "ValueError" in raised.kinds:
        return
    why = "num_blocks is below 2: block 0 is scratch" if num_blocks < 2 else "block_size is below 1"
    if raised and (raised.leaving or not raised.frames):
        recorder.unexpected(raised, "raises ValueError")
    got = f"raised {raised}" if raised else "a block manager"
    message = f"`BlockManager({num_blocks}, {block_size})` must raise ValueError: {why}."
    recorder.broken(message, got=got, expected="raises ValueError", raised=raised)
