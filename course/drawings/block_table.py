"""Exercise 1 drawn: block tables and the pool after every call of a short run."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from rich.text import Text

from course.window.page import EngineRun, Window, call_record
from reference_engine.slots import BlockManager, Copy, OutOfBlocks

NUM_BLOCKS, BLOCK_SIZE, WATERMARK = 10, 4, 1
NAMES = {1: "Ada", 2: "Bob", 3: "Cem"}
INK = {
    "Ada": "black on green",
    "Bob": "black on yellow",
    "Cem": "black on cyan",
    "": "black on magenta",
}


@dataclass(frozen=True, slots=True)
class Frame:
    """The state after one call, read through the contract alone.

    tables: (name, length in tokens, blocks) of every sequence. refs: block -> references, for all
    but block 0. copies: that the call asks for.
    """

    call: str
    answer: str
    tables: tuple[tuple[str, int, tuple[int, ...]], ...]
    refs: dict[int, int]
    free: int
    copies: tuple[Copy, ...] = ()


Call = tuple[str, Callable[[BlockManager], object]]

CALLS: tuple[Call, ...] = (
    ("admit(Ada, 6)", lambda part: part.admit(1, 6)),
    ("extend(Ada, 8)", lambda part: part.extend(1, 8)),
    ("extend(Ada, 10)", lambda part: part.extend(1, 10)),
    ("fork(Ada, Bob)", lambda part: part.fork(1, 2)),
    ("extend(Ada, 11)", lambda part: part.extend(1, 11)),
    ("extend(Bob, 11)", lambda part: part.extend(2, 11)),
    ("admit(Cem, 17)", lambda part: part.admit(3, 17)),
    ("admit(Cem, 9)", lambda part: part.admit(3, 9)),
    ("truncate(Bob, 5)", lambda part: part.truncate(2, 5)),
    ("free(Ada)", lambda part: part.free(1)),
)


def show(part: Any) -> Iterator[Text]:
    """What `course show` draws of a block manager's class."""
    sizes = f"{NUM_BLOCKS} blocks of {BLOCK_SIZE} tokens, block 0 is scratch"
    yield Text(f"{sizes}, watermark {WATERMARK}. x2: two readers.", style="dim")
    for frame in frames(part(NUM_BLOCKS, BLOCK_SIZE, watermark=WATERMARK)):
        yield Text()
        yield from draw(frame)


def window(part: Any, title: str) -> Window:
    """The same calls as a film."""
    told = list(frames(part(NUM_BLOCKS, BLOCK_SIZE, watermark=WATERMARK)))
    ids = {name: seq for seq, name in NAMES.items()}
    nobody: dict[int, tuple[int, tuple[int, ...]]] = {}
    here = [
        {ids[name]: (length, blocks) for name, length, blocks in frame.tables} for frame in told
    ]
    records = [
        call_record(
            number,
            now,
            frame.free,
            {"copies": frame.copies, "aborted": tuple(set(before) - set(now))},
        )
        for number, (frame, before, now) in enumerate(
            zip(told, [nobody, *here], here, strict=False)
        )
    ]
    captions = [(frame.call, frame.answer) for frame in told]
    return Window(
        title,
        (EngineRun("block manager", NUM_BLOCKS, BLOCK_SIZE, 0, records, captions, NAMES),),
        {},
    )


def frames(part: BlockManager) -> Iterator[Frame]:
    """Play the calls on `part`, made for `NUM_BLOCKS` blocks of `BLOCK_SIZE` tokens; one frame a
    call."""
    here: list[int] = []
    for text, call in CALLS:
        copies = tuple[Copy, ...]()
        try:
            answered = call(part)
            answer = _told(answered)
            copies = (
                tuple(answered[1]) if isinstance(answered, tuple) and len(answered) == 2 else ()
            )
        except OutOfBlocks:
            answer = "OutOfBlocks, nothing changed"
        here = [seq for seq in NAMES if _holds(part, seq)]
        tables = tuple((NAMES[seq], part.length(seq), tuple(part.table(seq))) for seq in here)
        refs = {block: part.ref(block) for block in range(1, NUM_BLOCKS)}
        yield Frame(text, answer, tables, refs, part.num_free, copies)


def draw(frame: Frame) -> list[Text]:
    """One frame: the call, each sequence's table with its tokens, the pool with its counts of
    readers."""
    lines = [Text.assemble((f"{frame.call:<18}", "bold"), "-> ", frame.answer)]
    for name, length, blocks in frame.tables:
        line = Text(f"   {name:<5}{length:>3} tokens  ")
        for place, block in enumerate(blocks):
            filled = min(max(length - place * BLOCK_SIZE, 0), BLOCK_SIZE)
            line.append(f"{block:>2}:", style="dim").append("#" * filled, style=INK[name])
            line.append("." * (BLOCK_SIZE - filled) + " ", style="dim")
        lines.append(line)
    return [*lines, _pool(frame)]


def _pool(frame: Frame) -> Text:
    line = Text(f"   pool {frame.free:>3} free    ")
    for block, readers in frame.refs.items():
        owners = [name for name, _, blocks in frame.tables if block in blocks]
        style = "dim" if not readers else INK[owners[0] if len(owners) == 1 else ""]
        line.append(f" {block}", style="dim").append(
            f"x{readers}" if readers else " -", style=style
        ).append(" ")
    return line


def _holds(part: BlockManager, seq: int) -> bool:
    try:
        part.length(seq)
    except KeyError:
        return False
    return True


def _told(answer: object) -> str:
    if answer is None:
        return "nothing copied"
    if isinstance(answer, tuple) and len(answer) == 2:
        blocks, copies = answer
        pairs = ", ".join(f"copy {copy.src} to {copy.dst}" for copy in copies)
        return f"new blocks {list(blocks)}" + (f", {pairs}" if pairs else "")
    return f"blocks {answer}"
