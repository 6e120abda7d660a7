"""Exercise 3 drawn: the prefix tree with its blocks, its locks and the last use of each part.

A prefix cache keeps its tree to itself. So it is watched from outside: whoever sees every call and every answer knows
by the contract which blocks are stored, who touched them last and who pins them, whatever the internals.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from rich.text import Text

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


@dataclass(slots=True)
class Leaf:
    """One stored block: its words, when it was last touched, how many locks pin it, its children."""

    words: tuple[str, ...]
    block: Block
    touched: int
    locks: int = 0
    children: dict[tuple[str, ...], Leaf] = field(default_factory=dict)


class Watched:
    """A prefix cache, and beside it the picture that the contract allows to draw of it. Speaks in words."""

    def __init__(self, cache: PrefixCache) -> None:
        self.cache = cache
        self.root: dict[tuple[str, ...], Leaf] = {}
        self._now = 0
        self._next = 1
        self._held: dict[str, tuple[object, list[Leaf]]] = {}

    def insert(self, words: Sequence[str]) -> str:
        """Store the words under blocks nobody has used yet."""
        self._now += 1
        pieces = _pieces(words)
        blocks = list(range(self._next, self._next + len(pieces)))
        answer = self.cache.insert(_tokens(words), blocks)
        self._next += len(pieces)
        children = self.root
        for piece, block in zip(pieces, blocks, strict=True):
            leaf = children.setdefault(piece, Leaf(piece, block, self._now))
            leaf.touched = self._now
            children = leaf.children
        return f"{answer.reused} of {len(pieces) * BLOCK_SIZE} tokens were there already"

    def match(self, words: Sequence[str], holder: str = "") -> str:
        """Look the words up; a `holder` keeps the answer locked until `leave`."""
        self._now += 1
        found = self.cache.match(_tokens(words))
        path = list(self._path(_pieces(words)))[: found.length // BLOCK_SIZE]
        for leaf in path:
            leaf.touched = self._now
        if holder:
            self.cache.lock(found.node)
            self._held[holder] = (found.node, path)
            for leaf in path:
                leaf.locks += 1
        return f"{found.length} tokens, blocks {list(found.blocks)}" + (f", locked for {holder}" if holder else "")

    def leave(self, holder: str) -> str:
        """Unlock what `holder` kept."""
        node, path = self._held.pop(holder)
        self.cache.unlock(node)
        for leaf in path:
            leaf.locks -= 1
        return "unlocked"

    def evict(self, num_blocks: int) -> str:
        """Make room; blocks that the cache gives back leave the picture."""
        self._now += 1
        gone = self.cache.evict(num_blocks)
        _prune(self.root, set(gone))
        return f"blocks {list(gone)} are free again"

    def _path(self, pieces: Sequence[tuple[str, ...]]) -> Iterator[Leaf]:
        children = self.root
        for piece in pieces:
            if piece not in children:
                return
            yield children[piece]
            children = children[piece].children


Call = tuple[str, Callable[[Watched], str]]
EVENING: tuple[Call, ...] = (
    ("insert(menu + Ada's soup)", lambda cache: cache.insert(MENU + SOUP)),
    ("match(menu + Bob's fish), lock", lambda cache: cache.match(MENU + FISH, "Bob")),
    ("insert(menu + Bob's fish)", lambda cache: cache.insert(MENU + FISH)),
    ("insert(menu + Ada's time)", lambda cache: cache.insert(MENU + TIME)),
    ("match(menu + Ada's soup)", lambda cache: cache.match(MENU + SOUP)),
    ("evict(3)", lambda cache: cache.evict(3)),
    ("unlock(Bob)", lambda cache: cache.leave("Bob")),
    ("evict(3)", lambda cache: cache.evict(3)),
)


def draw(cache: Watched, call: str, answer: str) -> list[Text]:
    """The tree after one call: words, blocks, last use, locks; stretches without a branch are one line."""
    head = Text.assemble((call, "bold"), "  -> ", answer)
    tree = list(_branches(cache.root, "  "))
    return [head, *(tree or [Text("  (empty)", style="dim")]), _counts(cache.cache)]


def _branches(children: dict[tuple[str, ...], Leaf], indent: str) -> Iterator[Text]:
    for number, leaf in enumerate(children.values(), 1):
        last = number == len(children)
        stretch = list(_stretch(leaf))
        line = Text(indent, style="dim").append("└─ " if last else "├─ ", style="dim")
        words = _abridged([word for each in stretch for word in each.words])
        blocks = " ".join(str(each.block) for each in stretch)
        line.append(words, style="bold red" if leaf.locks else "green")
        line.append(f"  [{blocks}]  last use {leaf.touched}")
        line.append(f"  locked by {leaf.locks}" if leaf.locks else "", style="bold red")
        yield line
        yield from _branches(stretch[-1].children, indent + ("   " if last else "│  "))


def _stretch(leaf: Leaf) -> Iterator[Leaf]:
    """`leaf` and those below it for as long as there is one child that shares its last use and its locks."""
    yield leaf
    while len(leaf.children) == 1:
        (child,) = leaf.children.values()
        if (child.touched, child.locks) != (leaf.touched, leaf.locks):
            return
        yield child
        leaf = child


def _abridged(words: list[str]) -> str:
    """Beginning and end of a long stretch, all of a short one."""
    return " ".join(words if len(words) <= 9 else [*words[:4], "…", *words[-3:]])


def _counts(cache: PrefixCache) -> Text:
    return Text(f"  {cache.evictable} blocks could go, {cache.protected} are locked", style="dim")


def _prune(children: dict[tuple[str, ...], Leaf], gone: set[Block]) -> None:
    for key in [key for key, leaf in children.items() if leaf.block in gone]:
        del children[key]
    for leaf in children.values():
        _prune(leaf.children, gone)


def _tokens(words: Sequence[str]) -> list[int]:
    return [WORDS[word] for word in words]


def _pieces(words: Sequence[str]) -> list[tuple[str, ...]]:
    whole = len(words) - len(words) % BLOCK_SIZE
    return [tuple(words[start : start + BLOCK_SIZE]) for start in range(0, whole, BLOCK_SIZE)]
