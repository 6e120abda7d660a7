"""Exercise 7 drawn: which program of the kernel reads which slot, along each request's table and in
the pool."""

from __future__ import annotations

import importlib
import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.errors import Problem
from graders.checking.failure import plural
from graders.exercises.ex7_paged_attention.diagnostics import Outside, outside_told
from graders.exercises.ex7_paged_attention.judge import sent
from graders.exercises.ex7_paged_attention.specification import Decode

CALL = Decode((11, 3, 0), block_size=4, group=2, split=2, seed=1)
DRIVER = "graders.sandbox.guest.paged_attention"
NEAR = 1e-3
INK = ("black on green", "black on yellow", "black on cyan")
WRONG = "bold white on red"
UNREAD, STRAY, NOBODYS = "?", "✗", "·"

Program = tuple[int, ...]
Place = tuple[int, int]


@dataclass(frozen=True, slots=True)
class KernelReads:
    """What the kernel did in one call.

    programs: those that read a key, in order. readers: (block, slot) -> who read the key there.
    times: how often. outside: of a read or write that no tensor holds, what it was; the call ended
    there. wrong: rows of `out` that are not the softmax.
    """

    call: Decode
    programs: tuple[Program, ...]
    readers: Mapping[Place, frozenset[Program]]
    times: Mapping[Place, int]
    outside: str
    wrong: tuple[int, ...]

    @property
    def owned(self) -> dict[Place, int]:
        """(block, slot) -> the request whose position lies there."""
        size = self.call.block_size
        return {
            (table[position // size], position % size): row
            for row, (table, length) in enumerate(
                zip(self.call.tables, self.call.lengths, strict=True)
            )
            for position in range(length)
        }

    def letter(self, program: Program) -> str:
        """How the drawing calls it."""
        return string.ascii_uppercase[self.programs.index(program) % 26]


def ready() -> None:
    """Turn Triton's interpreter on: a kernel that is loaded before is one for a GPU."""
    importlib.import_module(DRIVER)


def show(part: Any) -> Iterator[Text]:
    """What `course show` draws of a module that has a kernel. Where it strays is drawn too, and
    said."""
    yield from draw(play(part))


def play(part: Any, call: Decode = CALL) -> KernelReads:
    """One call in Triton's interpreter, every load looked at."""
    driver: Any = importlib.import_module(DRIVER)
    given = driver.Given(**sent(call))
    observed, result = driver.Observed(given), None
    with observed:
        try:
            result = part.paged_decode(*given.tensors.values(), given.scale, split=given.split)
        except driver.inner.InterpreterError as error:
            raise driver.cause(error) from None
    readers = {
        (block, slot): frozenset(who)
        for (block, slot, head), who in observed.readers.items()
        if head == 0
    }
    most = observed.counts["k"][:, :, 0].max(-1)  # [blocks, block_size]
    times = {(block, slot): int(most[block, slot]) for block, slot in readers}
    outside = ""
    if observed.outside:
        does, tensor, element, *program = observed.outside[0]
        outside = outside_told(call, Outside(does, tensor, element, tuple(program)))
    programs = tuple(sorted(frozenset[Program]().union(*readers.values())))
    return KernelReads(
        call, programs, readers, times, outside, () if outside else _wrong(call, result)
    )


def draw(reads: KernelReads) -> Iterator[Text]:
    """Each request along its table, the pool as it lies in memory, who read how much, and what came
    out."""
    call = reads.call
    sizes = f"{len(call.lengths)} requests, blocks of {call.block_size}, Hq {call.heads}, Hkv {call.kv_heads}"
    yield Text(
        f"{sizes}, split={call.split}. A letter: the program that read the key of this slot."
    )
    yield Text(
        f"{NOBODYS} nobody's, NaN   {UNREAD} was not read   2 was read twice   {STRAY} was read and is not its own",
        style="dim",
    )
    for row in range(len(call.lengths)):
        yield Text()
        yield from _request(reads, row)
    yield Text()
    yield Text.assemble(("the pool, as it lies in memory", "bold"))
    yield Text(
        "   block  " + "".join(f"{block:<{call.block_size + 1}}" for block in range(call.blocks)),
        style="dim",
    )
    yield Text("          ").append_text(
        Text(" ").join(_block(reads, block, range(call.block_size)) for block in range(call.blocks))
    )
    yield Text()
    for program in reads.programs:
        own = [place for place, who in reads.readers.items() if program in who]
        blocks = " ".join(str(block) for block in sorted({block for block, _ in own}))
        yield Text(
            f"   {reads.letter(program)}  program {program}: {plural(len(own), 'key')}, of blocks {blocks}"
        )
    yield from _end(reads)


def _request(reads: KernelReads, row: int) -> Iterator[Text]:
    call, length = reads.call, reads.call.lengths[row]
    needed = -(-length // call.block_size)
    own, beyond = (
        " ".join(map(str, part)) for part in (call.tables[row][:needed], call.tables[row][needed:])
    )
    table = Text.assemble(
        "   table ", (own, "bold"), (f" | {beyond}   beyond the length: not to be looked up", "dim")
    )
    yield Text.assemble((f"request {row}", "bold"), f", {length} positions")
    yield table
    if needed:
        blocks = (
            _block(reads, block, range(call.block_size)) for block in call.tables[row][:needed]
        )
        yield Text("   reads ").append_text(Text(" ").join(blocks))


def _block(reads: KernelReads, block: int, slots: range) -> Text:
    told = Text()
    for slot in slots:
        place = (block, slot)
        owner, who, times = (
            reads.owned.get(place),
            reads.readers.get(place),
            reads.times.get(place, 0),
        )
        if owner is None:
            told.append(*((STRAY, WRONG) if who else (NOBODYS, "dim")))
        elif not who:
            told.append(UNREAD, style=WRONG)
        elif times > 1:
            told.append(str(min(times, 9)), style=WRONG)
        else:
            told.append(reads.letter(min(who)), style=INK[owner % len(INK)])
    return told


def _end(reads: KernelReads) -> Iterator[Text]:
    yield Text()
    if reads.outside:
        yield Text(f"✗ {reads.outside} The drawing ends there.", style="bold red")
    elif reads.wrong:
        rows = ", ".join(f"out[{row}]" for row in reads.wrong)
        yield Text(
            f"✗ {rows} is not the softmax over its positions: course check 7 says more.",
            style="bold red",
        )
    else:
        yield Text("out: every request has the softmax over its own positions, in float64.")


def _wrong(call: Decode, result: Any) -> tuple[int, ...]:
    due = (len(call.lengths), call.heads, call.width)
    if tuple(getattr(result, "shape", ())) != due:
        raise Problem(
            f"this part returns {type(result).__name__}, not a tensor of shape {list(due)}."
        )
    rows: list[list[list[float]]] = result.tolist()
    return tuple(
        row
        for row, heads in enumerate(rows)
        if not all(
            abs(got - right) <= NEAR
            for head, columns in enumerate(heads)
            for got, right in zip(columns, call.out(row, head), strict=True)
        )
    )
