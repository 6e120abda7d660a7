"""From a batch to the numbers of a step: which token, position and slot each row has, and whose row
it is."""

from __future__ import annotations

import numpy as np

from reference_engine.batch import StepBatch
from reference_engine.gpu.shapes import BatchKind, StepShape
from reference_engine.gpu.staging import Array, Fields
from reference_engine.gpu.tables import ChangingTables


def fill(
    fields: Fields[Array],
    batch: StepBatch,
    shape: StepShape,
    tables: ChangingTables,
    block_size: int,
) -> None:
    """Write the batch into `fields`, padding included. Negative tokens are passed on as they are."""
    spans, size = batch.spans, shape.size
    counts = np.fromiter((len(span.tokens) for span in spans), dtype=np.int64, count=len(spans))
    seats = np.fromiter((span.seat for span in spans), dtype=np.int64, count=len(spans))
    begins = np.fromiter((span.start for span in spans), dtype=np.int64, count=len(spans))
    ends = counts.cumsum()  # [spans], as counts, seats and begins
    rows = int(ends[-1])
    places = np.arange(rows) - (ends - counts - begins).repeat(
        counts
    )  # [rows], tokens before each in its sequence
    _put(fields.tokens, [token for span in spans for token in span.tokens])
    _put(
        fields.slots,
        tables.array[seats.repeat(counts), places // block_size] * block_size + places % block_size,
    )
    _put(fields.positions, _positions(batch, places, ends) if shape.nodes else places)
    _put(fields.lengths, begins + counts)
    _put(fields.seats, seats)
    _put(fields.trees, [span.tree for span in spans])
    _starts(fields.starts, ends, shape)
    _put(fields.wanted, wanted_rows(batch, ends))
    _patches(fields, tables, size.patches)


def wanted_rows(batch: StepBatch, ends: Array) -> list[int]:
    """The rows that want logits, in the order of the spans."""
    return [
        row
        for span, end in zip(batch.spans, ends.tolist(), strict=True)
        for row in range(end - span.wanted, end)
    ]


def _positions(batch: StepBatch, places: Array, ends: Array) -> Array:
    """Where each row stands in its text: a node as deep below the root as its depth."""
    positions, depths = places.copy(), np.array(batch.depths)  # [rows], [nodes]
    for span, end in zip(batch.spans, ends.tolist(), strict=True):
        if span.tree:
            positions[end - span.tree : end] = places[end - span.tree] + depths[: span.tree]
    return positions


def _starts(field: Array, ends: Array, shape: StepShape) -> None:
    """Rows of the requests, then of the padding: one each (decode), a tree each, or none."""
    each = {BatchKind.DECODE: 1, BatchKind.TREE: shape.nodes, BatchKind.MIXED: 0}[shape.kind]
    count, rows = len(ends), int(ends[-1])
    field[0] = 0
    field[1 : count + 1] = ends
    field[count + 1 :] = rows + each * np.arange(1, len(field) - count)


def _patches(fields: Fields[Array], tables: ChangingTables, limit: int) -> None:
    """The changed cells, `limit` of them at most; they are forgotten here. The caller sends more by
    itself."""
    changed = list(tables.changed.items())[:limit]
    for cell, _ in changed:
        del tables.changed[cell]
    _put(fields.where, [cell for cell, _ in changed], rest=-1)
    _put(fields.block, [block for _, block in changed])


def _put(field: Array, values: Array | list[int], rest: int = 0) -> None:
    """`values`, then `rest` to the end of the field."""
    field[: len(values)] = values
    field[len(values) :] = rest
