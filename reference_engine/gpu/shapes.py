"""Which captured step serves a batch: a kind and padded sizes, few enough to capture them all.

* decode: every request has one row. B rows, B sequences; a padding row is a sequence of length 0.
* tree: every request has one tree of guesses, and logits for all of its nodes.
* mixed: anything else; rows beyond the last request's belong to nobody.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from reference_engine.batch import StepBatch
from reference_engine.gpu.staging import Size

MIXED_FLOOR = 16
PATCHES_FLOOR = 64


class BatchKind(StrEnum):
    """What a batch is made of."""

    DECODE = "decode"
    TREE = "tree"
    MIXED = "mixed"


@dataclass(frozen=True, slots=True)
class StepShape:
    """The key of a captured step. nodes: of the trees, 0 without."""

    kind: BatchKind
    size: Size
    nodes: int


def shape_of(batch: StepBatch, seats: int) -> StepShape:
    """The smallest shape that holds the batch, where `seats` requests run at most."""
    nodes = (
        len(batch.depths)
        if batch.depths is not None and any(span.tree for span in batch.spans)
        else 0
    )
    counts = [len(span.tokens) for span in batch.spans]
    if max(counts) == 1 and not nodes:
        rows = padded(len(counts), seats)
        return StepShape(BatchKind.DECODE, _sized(rows, rows, rows), 0)
    if nodes and all(span.tree == span.wanted == len(span.tokens) == nodes for span in batch.spans):
        requests = padded(len(counts), seats)
        return StepShape(
            BatchKind.TREE, _sized(requests * nodes, requests, requests * nodes), nodes
        )
    wanted = max(1, sum(span.wanted for span in batch.spans))
    rows = _rounded(sum(counts))
    return StepShape(
        BatchKind.MIXED, _sized(rows, seats, min(1 << (wanted - 1).bit_length(), rows)), nodes
    )


def decode_shapes(seats: int) -> list[StepShape]:
    """Every decode shape that up to `seats` requests can need, largest first."""
    sizes = sorted({padded(count, seats) for count in range(1, seats + 1)}, reverse=True)
    return [StepShape(BatchKind.DECODE, _sized(rows, rows, rows), 0) for rows in sizes]


def padded(requests: int, seats: int) -> int:
    """1, 2, 4, then multiples of 8 up to 64, of 16 up to 128, of 32 beyond; never more than
    `seats`."""
    step = 8 if requests <= 64 else 16 if requests <= 128 else 32
    rounded = 1 << (requests - 1).bit_length() if requests <= 4 else -(-requests // step) * step
    return min(rounded, seats)


def _rounded(rows: int) -> int:
    """A power of two up to 256, multiples of 256 beyond."""
    if rows <= 256:
        return max(MIXED_FLOOR, 1 << (rows - 1).bit_length())
    return -(-rows // 256) * 256


def _sized(rows: int, batch: int, wanted: int) -> Size:
    return Size(rows, batch, wanted, PATCHES_FLOOR + 2 * batch)
