"""Step records as the page reads them: what a step changed, in as few characters as that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reference_engine.metrics import CacheChange, StepRecord
from reference_engine.slots import Block

UNKNOWN = 0
"""The parent of a block that stands at a root, or below one that was stored before anybody looked."""


class FrameWriter:
    """Turns the records of one engine into frames, in order. A table is told as far as it differs
    from before.

    A frame: n number · c chunks [id, start, length, samples] · t tables [id, blocks kept, blocks
    new] · m [id, tokens with KV] where nothing was computed · k copies [from, to] · p preempted · f
    finished · a aborted · e emitted [id, tokens] · h cached [id, tokens] · s prompts [id, tokens] ·
    x changes of the cache, [blocks] evicted or [id, first, parent, blocks] stored · y parents of
    the guess tree's nodes, when they are others than before · g guesses [id, tokens, walk, next] ·
    r running · w waiting · v free blocks · b tables shrunk after the step [id, blocks left]. size:
    tokens of a block.
    """

    def __init__(self, size: int) -> None:
        self._tables: dict[int, tuple[Block, ...]] = {}
        self._parents: tuple[int, ...] = ()
        self._cache = _CachedBlocks(size)

    def frame(self, record: StepRecord) -> dict[str, Any]:
        """The next record's frame."""
        for id in (*record.preempted, *record.aborted):
            self._tables.pop(id, None)
        frame = {
            "n": record.number,
            "c": [
                [each.id, each.start, each.length, int(each.samples)] for each in record.plan.chunks
            ],
            "t": list(self._changed(record)),
            "m": [] if record.plan.chunks else [[seat.id, seat.computed] for seat in record.seats],
            "k": [[copy.src, copy.dst] for copy in record.copies],
            "p": list(record.preempted),
            "f": list(record.finished),
            "a": list(record.aborted),
            "e": [[id, list(tokens)] for id, tokens in record.emitted],
            "h": [list(each) for each in record.cached],
            "s": [[id, list(tokens)] for id, tokens in record.prompts],
            "x": self._cache.changed(record),
            "y": self._grown(record),
            "g": [
                [tree.id, list(tree.tokens), list(tree.walk), tree.next] for tree in record.trees
            ],
            "r": record.running,
            "w": record.waiting,
            "v": record.free_blocks,
            "b": [list(each) for each in record.shrunk],
        }
        for id, left in record.shrunk:
            self._tables[id] = self._tables[id][:left]
        for id in record.finished:
            self._tables.pop(id, None)
        return {name: value for name, value in frame.items() if value or name in "nrwv"}

    def _changed(self, record: StepRecord) -> Iterator[list[Any]]:
        for seat in record.seats:
            before = self._tables.get(seat.id, ())
            if seat.table != before:
                kept = _alike(before, seat.table)
                self._tables[seat.id] = seat.table
                yield [seat.id, kept, list(seat.table[kept:])]

    def _grown(self, record: StepRecord) -> list[int]:
        parents = record.trees[0].parents if record.trees else self._parents
        if parents == self._parents:
            return []
        self._parents = parents
        return list(parents)


class _CachedBlocks:
    """What the prefix cache holds, by its text: so that a new block is told below the one that the
    cache has there."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._texts: dict[int, list[int]] = {}
        self._blocks: dict[tuple[Block, tuple[int, ...]], Block] = {}
        self._places: dict[Block, tuple[Block, tuple[int, ...]]] = {}

    def changed(self, record: StepRecord) -> list[list[Any]]:
        """The changes of a step; see `FrameWriter`."""
        for id, tokens in record.prompts:
            self._texts.setdefault(id, list(tokens))
        for id, tokens in record.emitted:
            self._texts.setdefault(id, []).extend(tokens)
        told = [self._told(change) for change in record.changes]
        for id in (*record.finished, *record.aborted):
            self._texts.pop(id, None)
        return told

    def _told(self, change: CacheChange) -> list[Any]:
        if change.id is None:
            for block in change.blocks:
                self._blocks.pop(self._places.pop(block, (UNKNOWN, ())), None)
            return [list(change.blocks)]
        above = parent = self._found(change.id, change.first)
        for place, block in enumerate(change.blocks, change.first):
            self._places[block] = above, self._text(change.id, place)
            self._blocks[self._places[block]] = above = block
        return [change.id, change.first, parent, list(change.blocks)]

    def _found(self, id: int, count: int) -> Block:
        """The cache's own block for the block `count` - 1 of a request's text."""
        above = UNKNOWN
        for place in range(count):
            above = self._blocks.get((above, self._text(id, place)), UNKNOWN)
        return above

    def _text(self, id: int, place: int) -> tuple[int, ...]:
        return tuple(self._texts.get(id, ())[place * self._size : (place + 1) * self._size])


def _alike(one: Sequence[Block], other: Sequence[Block]) -> int:
    """How many blocks at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return next(
        (place for place, (left, right) in enumerate(pairs) if left != right),
        min(len(one), len(other)),
    )
