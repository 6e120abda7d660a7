"""Step records as the page reads them: what a step changed, in as few characters as that takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from reference_engine.metrics import StepRecord
from reference_engine.slots import Block


class FrameWriter:
    """Turns the records of one engine into frames, in order. A table is told as far as it differs from before.

    A frame: n number · c chunks [id, start, length, samples] · t tables [id, blocks kept, blocks new] · k copies
    [from, to] · p preempted · f finished · a aborted · e emitted [id, tokens] · h cached [id, tokens] · r running ·
    w waiting · v free blocks.
    """

    def __init__(self) -> None:
        self._tables: dict[int, tuple[Block, ...]] = {}

    def frame(self, record: StepRecord) -> dict[str, Any]:
        """The next record's frame."""
        for id in (*record.preempted, *record.aborted):
            self._tables.pop(id, None)
        frame = {
            "n": record.number,
            "c": [[each.id, each.start, each.length, int(each.samples)] for each in record.plan.chunks],
            "t": list(self._changed(record)),
            "k": [[copy.src, copy.dst] for copy in record.copies],
            "p": list(record.preempted),
            "f": list(record.finished),
            "a": list(record.aborted),
            "e": [[id, list(tokens)] for id, tokens in record.emitted],
            "h": [list(each) for each in record.cached],
            "r": record.running,
            "w": record.waiting,
            "v": record.free_blocks,
        }
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


def _alike(one: Sequence[Block], other: Sequence[Block]) -> int:
    """How many blocks at the beginning are the same."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
