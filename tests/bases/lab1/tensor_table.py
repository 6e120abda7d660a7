"""Right: every tensor is a row of a table that says how often it is multiplied and how often it is read."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import NamedTuple

from reference_engine.slots import Shape


class Row(NamedTuple):
    numbers: int
    multiplied: bool
    read: str  # "step" or "request"
    stored: bool = True


def table(shape: Shape) -> list[Row]:
    rows = []
    for _ in range(shape.layers):
        for name in "qkvo":
            heads = shape.kv_heads if name in "kv" else shape.heads
            rows.append(Row(shape.width * heads * shape.head_width, True, "step"))
        rows += [Row(shape.width * shape.inner, True, "step")] * 3
        rows += [Row(shape.width, False, "step")] * 2
    rows.append(Row(shape.width, False, "step"))
    return rows


def head(shape: Shape) -> int:
    return shape.vocab * shape.width


def parameters(shape: Shape) -> int:
    total = sum(row.numbers for row in table(shape)) + head(shape)
    if not shape.tied:
        total += head(shape)
    return total


def kv_bytes_per_token(shape: Shape, bytes_per_value: int) -> int:
    total = 0
    for _ in range(shape.layers):
        for _ in ("key", "value"):
            total += shape.kv_heads * shape.head_width * bytes_per_value
    return total


def operations(shape: Shape, new_tokens: int, context: int) -> int:
    total = 0
    for place in range(new_tokens):
        seen = context + place + 1
        total += sum(2 * row.numbers for row in table(shape) if row.multiplied)
        for _ in range(shape.layers):
            total += shape.heads * 2 * shape.head_width * seen
            total += shape.heads * 2 * shape.head_width * seen
    total += 2 * head(shape)
    return total


def decode_bytes(shape: Shape, contexts: Sequence[int], bytes_per_value: int) -> int:
    numbers = sum(row.numbers for row in table(shape) if row.read == "step")
    numbers += head(shape)
    moved = numbers * bytes_per_value
    for cached in contexts:
        moved += shape.width * bytes_per_value
        moved += cached * kv_bytes_per_token(shape, bytes_per_value)
        moved += kv_bytes_per_token(shape, bytes_per_value)
    return moved


def floor_seconds(operations: int, bytes_moved: int, peak: float, bandwidth: float) -> float:
    arithmetic = operations / peak
    memory = bytes_moved / bandwidth
    return arithmetic if arithmetic > memory else memory


def break_even_batch(shape: Shape, context: int, bytes_per_value: int, peak: float, bandwidth: float) -> int | None:
    def lead(batch: int) -> Fraction:
        counted = batch * operations(shape, 1, context)
        moved = decode_bytes(shape, [context] * batch, bytes_per_value)
        return Fraction(counted) / Fraction(peak) - Fraction(moved) / Fraction(bandwidth)

    first, slope = lead(1), lead(2) - lead(1)
    if first >= 0:
        return 1
    if slope <= 0:
        return None
    more = -(first / slope)
    return 1 + (more.numerator + more.denominator - 1) // more.denominator
