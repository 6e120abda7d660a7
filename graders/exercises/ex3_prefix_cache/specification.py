"""What a prefix cache has to be like: a dict from a whole prefix to its block, looked through for every question.

A stored block is known by its namespace and all tokens from the beginning of the text to the end of the block. Nothing
is hashed but by Python's own dict, which compares in full; nothing is remembered that could be counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from graders.checking.failure import Refusals, plural

Tokens = tuple[int, ...]
Namespace = str | None


@dataclass(frozen=True, slots=True)
class Path:
    """A prefix of whole blocks in a namespace: what a handle covers."""

    namespace: Namespace
    tokens: Tokens

    def begins(self, other: Path) -> bool:
        """Whether this is `other` or one of its ancestors."""
        return self.namespace == other.namespace and other.tokens[: len(self.tokens)] == self.tokens


@dataclass(slots=True)
class StoredBlock:
    """A block, and when it was touched last."""

    block: int
    tick: int


@dataclass(frozen=True, slots=True)
class Branch:
    """One stored block for a drawing: its path, its block, how often its path is locked, its last touch."""

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
        self.clock = 0

    # ------------------------------------------------------------ looking

    @property
    def protected(self) -> int:
        return sum(self.pinned(path) for path in self.stored)

    @property
    def evictable(self) -> int:
        return len(self.stored) - self.protected

    def pinned(self, path: Path) -> bool:
        return any(path.begins(self.handles[handle]) for handle, times in self.locks.items() if times)

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

    def blocks(self, path: Path) -> list[int]:
        return [self.stored[step].block for step in self.above(path)]

    def branches(self) -> list[Branch]:
        """The whole forest, parents before children, for a drawing."""
        order = sorted(self.stored, key=lambda path: (path.namespace is not None, path.namespace or "", path.tokens))
        return [Branch(path, self.stored[path].block, self._locks(path), self.stored[path].tick) for path in order]

    def _locks(self, path: Path) -> int:
        return sum(times for handle, times in self.locks.items() if times and path.begins(self.handles[handle]))

    # ------------------------------------------------------------ what is refused

    def refuse_insert(self, tokens: Sequence[int], blocks: Sequence[int], namespace: Namespace) -> Refusals:
        full = len(tokens) // self.block_size
        if len(blocks) < full:
            return {"ValueError": f"{len(tokens)} tokens fill {plural(full)}, {len(blocks)} were given"}
        held = len(self.path(tokens, namespace).tokens) // self.block_size
        elsewhere = {stored.block for stored in self.stored.values()}
        foreign = [block for block in blocks[held:full] if block in elsewhere]
        return {"ValueError": f"block {foreign[0]} is stored at another place"} if foreign else {}

    def refuse_unlock(self, handle: int) -> Refusals:
        return {} if self.locks.get(handle) else {"ValueError": "this handle is not locked"}

    # ------------------------------------------------------------ what is done

    def match(self, tokens: Sequence[int], namespace: Namespace, handle: int) -> Path:
        path = self.path(tokens, namespace)
        self._touch(path)
        self.handles[handle] = path
        return path

    def insert(self, tokens: Sequence[int], blocks: Sequence[int], namespace: Namespace, handle: int) -> int:
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

    def unlock(self, handle: int) -> None:
        self.locks[handle] -= 1

    def evict(self, count: int) -> list[int]:
        evicted = []
        for _ in range(min(count, self.evictable)):
            parents = {Path(path.namespace, path.tokens[: -self.block_size]) for path in self.stored}
            leaves = [path for path in self.stored if path not in parents and not self.pinned(path)]
            oldest = min(leaves, key=lambda path: self.stored[path].tick)
            evicted.append(self.stored.pop(oldest).block)
        self.handles = {handle: path for handle, path in self.handles.items() if self.locks.get(handle)}
        return evicted

    def _touch(self, path: Path) -> None:
        self.clock += 1
        for step in self.above(path):
            self.stored[step].tick = self.clock
