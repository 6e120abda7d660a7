"""Exercise 3 drawn: the tree that a prefix cache shows of itself, and where it is not the
contract's.

A prefix cache keeps its tree to itself, but its answers give it away: `match` tells the blocks of a
text, `evict` the order in which blocks go, and what stays when everything may go is locked. Asking
changes what is asked (a match is a touch), so the calls are played again on a fresh cache for each
look. Beside it the specification plays the same calls: whatever breaks the contract is crossed out,
with what is due, and the first of it is said below the tree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from rich.text import Text

from course.window.page import EngineRun, Window, call_record
from graders.exercises.ex3_prefix_cache.specification import PrefixCacheSpec
from reference_engine.metrics import CacheChange, RequestInStep, StepRecord
from reference_engine.slots import Block, PrefixCache

BLOCK_SIZE = 4
MENU, SOUP, FISH, TIME = (
    text.split()
    for text in (
        "you are the waiter of Luna , the soup is 7 euro and the fish 19",
        "Ada asks : how much is the soup ?",
        "Bob asks : how much is the fish ?",
        "Ada asks : how long does fish take ?",
    )
)
WORDS = {word: number for number, word in enumerate(dict.fromkeys(MENU + SOUP + FISH + TIME), 1)}


Path = tuple[int, ...]  # the tokens of whole blocks from the beginning of a text
Answer = tuple[str, dict[str, Any]]  # in words, and as fields of a record
Step = Callable[[PrefixCache, dict[str, object]], Answer]
EVERYTHING = 99
POOL = 25  # blocks, scratch included: more than the calls store


@dataclass(frozen=True, slots=True)
class TreeView:
    """A tree: the block of each path, the paths that are locked, the other blocks in the order in
    which they go.

    wrong: of paths that break the contract, what is due.
    """

    blocks: dict[Path, Block]
    locked: frozenset[Path]
    order: tuple[Block, ...]
    wrong: dict[Path, str] = field(default_factory=dict)

    def children(self, path: Path) -> list[Path]:
        """The paths that are a block longer, in the order in which they were found."""
        return [
            each
            for each in self.blocks
            if len(each) == len(path) + BLOCK_SIZE and each[: len(path)] == path
        ]


class CheckedCache:
    """A prefix cache and the specification beside it; both hear every call. Speaks in words.

    make: makes a cache of so many tokens a block, as often as somebody has to look. records: of the
    calls.
    """

    def __init__(self, make: Callable[[int], PrefixCache]) -> None:
        self.cache = make(BLOCK_SIZE)
        self._make = make
        self._specification = PrefixCacheSpec(BLOCK_SIZE)
        self._nodes: dict[str, object] = {}
        self._handles: dict[str, int] = {}
        self._steps: list[Step] = []
        self._texts: list[Path] = []
        self._readers: dict[str, int] = {}  # the text of each holder
        self._next = 1
        self.records: list[StepRecord] = []

    def insert(self, words: Sequence[str]) -> str:
        """Store the words under blocks nobody has used yet."""
        tokens = self._read(words)
        blocks = list(range(self._next, self._next + len(tokens) // BLOCK_SIZE))
        self._next += len(blocks)
        self._specification.insert(tokens, blocks, None, len(self._steps))
        whole, text = len(blocks) * BLOCK_SIZE, len(self._texts) - 1

        def insert(cache: PrefixCache, _: dict[str, object]) -> Answer:
            reused = cache.insert(list(tokens), list(blocks)).reused
            first = reused // BLOCK_SIZE
            stored = {
                "prompts": ((text, tokens),),
                "changes": (CacheChange(tuple(blocks[first:]), text, first),),
            }
            return f"{reused} of {whole} tokens were there already", stored

        return self._do(insert)

    def match(self, words: Sequence[str], holder: str = "") -> str:
        """Look the words up; a `holder` keeps the answer locked until `leave`."""
        tokens, handle = self._read(words), len(self._steps)
        self._specification.match(tokens, None, handle)
        if holder:
            self._specification.lock(handle)
            self._handles[holder] = handle
            self._readers[holder] = len(self._texts) - 1
        text = len(self._texts) - 1

        def match(cache: PrefixCache, nodes: dict[str, object]) -> Answer:
            found = cache.match(list(tokens))
            if holder:
                cache.lock(found.node)
                nodes[holder] = found.node
            locked = f", locked for {holder}" if holder else ""
            seats = (
                (RequestInStep(text, found.length, found.length, tuple(found.blocks)),)
                if holder
                else ()
            )
            told = {
                "prompts": ((text, tokens),),
                "seats": seats,
                "cached": ((text, found.length),) * len(seats),
            }
            return f"{found.length} tokens, blocks {list(found.blocks)}{locked}", told

        return self._do(match)

    def leave(self, holder: str) -> str:
        """Unlock what `holder` kept."""
        self._specification.unlock(self._handles.pop(holder))
        gone = {"aborted": (self._readers.pop(holder),)}

        def unlock(cache: PrefixCache, nodes: dict[str, object]) -> Answer:
            cache.unlock(nodes.pop(holder))
            return "unlocked", gone

        return self._do(unlock)

    def evict(self, num_blocks: int) -> str:
        """Make room."""
        due = self._specification.evict(num_blocks)

        def evict(cache: PrefixCache, _: dict[str, object]) -> Answer:
            gone = cache.evict(num_blocks)
            wrong = "" if list(gone) == due else f"  ✗ due: {_then(due)}"
            return f"freed {_then(gone)}{wrong}", {"changes": (CacheChange(tuple(gone)),)}

        return self._do(evict)

    @property
    def seen(self) -> TreeView:
        """The tree of the cache, from its answers to the same calls."""
        blocks = {
            path: block for text in self._texts for path, block in _answers(self._anew(), text)
        }
        emptied = self._anew()
        order = tuple(emptied.evict(EVERYTHING))
        locked = frozenset(path for text in self._texts for path, _ in _answers(emptied, text))
        return TreeView(blocks, locked, order)

    @property
    def due(self) -> TreeView:
        """The tree that the contract has now."""
        stored = {branch.path.tokens: branch.block for branch in self._specification.branches()}
        locked = frozenset(
            branch.path.tokens for branch in self._specification.branches() if branch.locks
        )
        return TreeView(stored, locked, tuple(_emptied(self._specification)))

    def _read(self, words: Sequence[str]) -> Path:
        self._texts.append(tuple(WORDS[word] for word in words))
        return self._texts[-1]

    def _do(self, step: Step) -> str:
        self._steps.append(step)
        answer, told = step(self.cache, self._nodes)
        free = POOL - 1 - self.cache.evictable - self.cache.protected
        self.records.append(call_record(len(self.records), {}, free, told))
        return answer

    def _anew(self) -> PrefixCache:
        cache, nodes = self._make(BLOCK_SIZE), dict[str, object]()
        for step in self._steps:
            step(cache, nodes)
        return cache


Call = tuple[str, Callable[[CheckedCache], str]]
CALLS: tuple[Call, ...] = (
    ("insert(menu + Ada's soup)", lambda cache: cache.insert(MENU + SOUP)),
    ("match(menu + Bob's fish), lock", lambda cache: cache.match(MENU + FISH, "Bob")),
    ("insert(menu + Bob's fish)", lambda cache: cache.insert(MENU + FISH)),
    ("insert(menu + Ada's time)", lambda cache: cache.insert(MENU + TIME)),
    ("match(menu + Ada's soup)", lambda cache: cache.match(MENU + SOUP)),
    ("evict(3)", lambda cache: cache.evict(3)),
    ("unlock(Bob)", lambda cache: cache.leave("Bob")),
    ("evict(3)", lambda cache: cache.evict(3)),
)


def show(part: Any) -> Iterator[Text]:
    """What `course show` draws of a prefix cache's class."""
    yield Text(
        f"Blocks of {BLOCK_SIZE} tokens, a word is a token. [n]: block n. goes 1st: the next to be evicted.",
        style="dim",
    )
    yield Text(
        "The tree is this part's own, as its answers to match and evict show it.", style="dim"
    )
    cache = CheckedCache(part)
    for call, play in CALLS:
        yield Text()
        yield from draw(cache, call, play(cache))


def window(part: Any, title: str) -> Window:
    """The same calls as a film."""
    cache = CheckedCache(part)
    captions = [_captioned(cache, call, play(cache)) for call, play in CALLS]
    words = {number: f"{word} " for word, number in WORDS.items()}
    return Window(
        title, (EngineRun("prefix cache", POOL, BLOCK_SIZE, 0, cache.records, captions),), words
    )


def _captioned(cache: CheckedCache, call: str, answer: str) -> tuple[str, ...]:
    wrong = difference(cache.seen, cache.due)
    return (call, f"{answer}. {wrong}", "bad") if wrong else (call, answer)


def draw(cache: CheckedCache, call: str, answer: str) -> list[Text]:
    """The tree after one call: words, blocks, when they go; runs that go or stay together are one
    line."""
    seen, due = cache.seen, cache.due
    lines = [Text.assemble((call, "bold"), "  -> ", answer)]
    lines += list(_branches(compared(seen, due), (), "  ")) or [Text("  (empty)", style="dim")]
    counts = f"  {cache.cache.evictable} blocks could go, {cache.cache.protected} are locked"
    lines.append(Text(counts, style="dim"))
    if wrong := difference(seen, due):
        lines.append(Text(f"  ✗ {wrong}", style="bold red"))
    return lines


def compared(seen: TreeView, due: TreeView) -> TreeView:
    """What is seen, with what is due where that is something else, and what is missing in its
    place."""
    wrong = {path: _fault(seen, due, path) for path in seen.blocks}
    missing = {path: block for path, block in due.blocks.items() if path not in seen.blocks}
    told = {path: fault for path, fault in wrong.items() if fault} | dict.fromkeys(
        missing, "missing"
    )
    return TreeView(seen.blocks | missing, seen.locked, seen.order, told)


def _fault(seen: TreeView, due: TreeView, path: Path) -> str:
    if path not in due.blocks:
        return "should be gone"
    if seen.blocks[path] != due.blocks[path]:
        return f"should be block {due.blocks[path]}"
    if (path in seen.locked) is not (path in due.locked):
        return f"should {'' if path in due.locked else 'not '}be locked"
    return ""


def difference(seen: TreeView, due: TreeView) -> str:
    """The first thing in which a tree is not as it has to be, in a sentence; "" when there is none."""
    for path, block in due.blocks.items():
        if path not in seen.blocks:
            return f"Block {block} ({_words(path)}) should be stored here."
        if seen.blocks[path] != block:
            return (
                f"Block {block} should stand here ({_words(path)}), not block {seen.blocks[path]}."
            )
    for path, block in seen.blocks.items():
        if path not in due.blocks:
            return f"Block {block} ({_words(path)}) should not be stored any more."
        if (path in seen.locked) is not (path in due.locked):
            return f"Block {block} ({_words(path)}) should {'' if path in due.locked else 'not '}be locked."
    if seen.order != due.order:
        return f"These should go in the order {_list(due.order)}, not {_list(seen.order)}."
    return ""


def _branches(seen: TreeView, above: Path, indent: str) -> Iterator[Text]:
    children = seen.children(above)
    for number, path in enumerate(children, 1):
        last = number == len(children)
        stretch = list(_stretch(seen, path))
        locked, wrong = path in seen.locked, seen.wrong.get(path, "")
        line = Text(indent, style="dim").append("└─ " if last else "├─ ", style="dim")
        line.append("✗ " if wrong else "", style="bold red")
        style = "strike red" if wrong else "bold red" if locked else "green"
        line.append(_words(stretch[-1][len(above) :]), style=style)
        line.append(f"  [{' '.join(str(seen.blocks[each]) for each in stretch)}]")
        line.append(
            "  locked" if locked else _going(seen, stretch), style="bold red" if locked else ""
        )
        line.append(f"  ✗ {wrong}" if wrong else "", style="bold red")
        yield line
        yield from _branches(seen, stretch[-1], indent + ("   " if last else "│  "))


def _stretch(seen: TreeView, path: Path) -> Iterator[Path]:
    """`path` and those below it while there is one child, as wrong, that is locked too or goes just
    before."""
    yield path
    while len(children := seen.children(path)) == 1:
        (child,) = children
        if seen.wrong.get(child) != seen.wrong.get(path) or (child in seen.locked) is not (
            path in seen.locked
        ):
            return
        if _place(seen, path) != _place(seen, child) + 1:
            return
        yield child
        path = child


def _place(seen: TreeView, path: Path) -> int:
    """How many blocks go before this one; those that do not go at all stand one after the other."""
    block = seen.blocks[path]
    return seen.order.index(block) if block in seen.order else -len(path) // BLOCK_SIZE


def _going(seen: TreeView, stretch: Sequence[Path]) -> str:
    places = [
        seen.order.index(seen.blocks[path]) + 1
        for path in stretch
        if seen.blocks[path] in seen.order
    ]
    if not places:
        return "" if stretch[0] in seen.wrong else "  never goes"
    return f"  goes {_nth(places[-1])}" + (f" to {_nth(places[0])}" if len(places) > 1 else "")


def _nth(number: int) -> str:
    ends = {1: "st", 2: "nd", 3: "rd"}
    return f"{number}{'th' if 10 < number % 100 < 14 else ends.get(number % 10, 'th')}"


def _words(path: Sequence[int]) -> str:
    """Beginning and end of a long stretch, all of a short one."""
    names = dict(zip(WORDS.values(), WORDS, strict=True))
    words = [names[token] for token in path]
    return " ".join(words if len(words) <= 9 else [*words[:4], "…", *words[-3:]])


def _then(blocks: Sequence[Block]) -> str:
    """In the order in which they went."""
    return f"blocks {', then '.join(map(str, blocks))}" if blocks else "no block"


def _list(blocks: Sequence[Block]) -> str:
    return " ".join(map(str, blocks)) or "(none)"


def _answers(cache: PrefixCache, text: Path) -> list[tuple[Path, Block]]:
    """The path and block of each block that a match of the text finds."""
    found = cache.match(list(text))
    count = min(found.length // BLOCK_SIZE, len(found.blocks))
    return [(text[: (at + 1) * BLOCK_SIZE], found.blocks[at]) for at in range(count)]


def _emptied(specification: PrefixCacheSpec) -> list[Block]:
    """The blocks in the order in which they would go; the specification stays as it is."""
    copy = PrefixCacheSpec(specification.block_size)
    copy.stored, copy.handles = dict(specification.stored), dict(specification.handles)
    copy.pins = dict(specification.pins)
    return copy.evict(EVERYTHING)
