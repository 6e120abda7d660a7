"""What a prefix cache has to be like: a dict from a whole prefix to its block, looked through for
every question.

A stored block is known by its namespace and all tokens from the beginning of the text to the end of
the block. Nothing is hashed but by Python's own dict, which compares in full.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from graders.checking.failure import Refusals, plural

Tokens = tuple[int, ...]
Namespace = Hashable


@dataclass(frozen=True)
class Tenant:
    """A namespace of more than a name: who asks, by which adapter. Equal to others of its kind,
    never the same."""

    name: str
    adapter: int


class Path(NamedTuple):
    """A prefix of whole blocks in a namespace: what a handle covers."""

    namespace: Namespace
    tokens: Tokens


@dataclass(slots=True)
class StoredBlock:
    """A block, and when it was touched last."""

    block: int
    tick: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One stored block for a drawing: its path, its block, how often its path is locked, its last
    touch."""

    path: Path
    block: int
    locks: int
    tick: int


class PrefixCacheSpec:
    """The forest as the contract has it. Handles are numbers, given by whoever asks."""

    def __init__(self, block_size: int) -> None:
        self.block_size = block_size
        self.stored: dict[Path, StoredBlock] = {}
        self.handles: dict[int, Path] = {}
        self.locks: dict[int, int] = {}  # handle -> times it is locked
        self.pins: dict[Path, int] = {}  # path -> locks that cover it; none of 0
        self.clock = 0

    # ------------------------------------------------------------ looking

    @property
    def protected(self) -> int:
        return len(self.pins)

    @property
    def evictable(self) -> int:
        return len(self.stored) - len(self.pins)

    def path(self, tokens: Sequence[int], namespace: Namespace) -> Path:
        """The longest stored prefix."""
        longest = Path(namespace, ())
        for end in range(self.block_size, len(tokens) + 1, self.block_size):
            longer = Path(namespace, tuple(tokens[:end]))
            if longer not in self.stored:
                break
            longest = longer
        return longest

    def above(self, path: Path) -> list[Path]:
        """The path of each block from the root to the end of this one."""
        ends = range(self.block_size, len(path.tokens) + 1, self.block_size)
        return [Path(path.namespace, path.tokens[:end]) for end in ends]

    def parent(self, path: Path) -> Path:
        """What is left of a path without its last block."""
        return Path(path.namespace, path.tokens[: -self.block_size])

    def blocks(self, path: Path) -> list[int]:
        return [self.stored[step].block for step in self.above(path)]

    def branches(self) -> list[Branch]:
        """The whole forest, parents before children, for a drawing."""
        order = sorted(
            self.stored,
            key=lambda path: (path.namespace is not None, str(path.namespace), path.tokens),
        )
        return [
            Branch(path, self.stored[path].block, self.pins.get(path, 0), self.stored[path].tick)
            for path in order
        ]

    # ------------------------------------------------------------ what is refused

    def refuse_insert(
        self, tokens: Sequence[int], blocks: Sequence[int], namespace: Namespace
    ) -> Refusals:
        full = len(tokens) // self.block_size
        if len(blocks) < full:
            return {
                "ValueError": f"{plural(len(tokens), 'token')} for {plural(full)}, and blocks given: {len(blocks)}"
            }
        new = blocks[len(self.path(tokens, namespace).tokens) // self.block_size : full]
        elsewhere = {stored.block for stored in self.stored.values()}
        for at, block in enumerate(new):
            if block in elsewhere:
                return {"ValueError": f"block {block} is stored at another place"}
            if block in new[:at]:
                return {"ValueError": f"block {block} is listed twice"}
        return {}

    def refuse_unlock(self, handle: int) -> Refusals:
        return {} if self.locks.get(handle) else {"ValueError": "this handle is not locked"}

    # ------------------------------------------------------------ what is done

    def match(self, tokens: Sequence[int], namespace: Namespace, handle: int) -> Path:
        path = self.path(tokens, namespace)
        self._touch(path)
        self.handles[handle] = path
        return path

    def insert(
        self, tokens: Sequence[int], blocks: Sequence[int], namespace: Namespace, handle: int
    ) -> int:
        """How many tokens were held already."""
        reused = len(self.path(tokens, namespace).tokens)
        whole = Path(namespace, tuple(tokens[: len(tokens) // self.block_size * self.block_size]))
        for path, block in zip(self.above(whole), blocks, strict=False):
            self.stored.setdefault(path, StoredBlock(block, 0))
        self._touch(whole)
        self.handles[handle] = whole
        return reused

    def lock(self, handle: int) -> None:
        self.locks[handle] = self.locks.get(handle, 0) + 1
        for path in self.above(self.handles[handle]):
            self.pins[path] = self.pins.get(path, 0) + 1

    def unlock(self, handle: int) -> None:
        self.locks[handle] -= 1
        for path in self.above(self.handles[handle]):
            self.pins[path] -= 1
            if not self.pins[path]:
                del self.pins[path]

    def evict(self, count: int) -> list[int]:
        evicted = []
        children = Counter(self.parent(path) for path in self.stored) if count else Counter[Path]()
        for _ in range(min(count, self.evictable)):
            leaves = (path for path in self.stored if not children[path] and path not in self.pins)
            oldest = min(leaves, key=lambda path: self.stored[path].tick)
            children[self.parent(oldest)] -= 1
            evicted.append(self.stored.pop(oldest).block)
        self.handles = {
            handle: path for handle, path in self.handles.items() if self.locks.get(handle)
        }
        return evicted

    def _touch(self, path: Path) -> None:
        self.clock += 1
        for step in self.above(path):
            self.stored[step].tick = self.clock


class ReleasedLast(PrefixCacheSpec):
    """As in vLLM, where blocks queue up for eviction when a request lets go of them."""

    def unlock(self, handle: int) -> None:
        super().unlock(handle)
        self._touch(self.handles[handle])
