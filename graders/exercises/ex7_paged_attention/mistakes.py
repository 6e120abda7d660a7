"""What comes out of mistakes that are often made, so that a wrong result is told with the mistake
that gives it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from operator import mul

from graders.exercises.ex7_paged_attention.specification import Decode, averaged

TILES = (16, 32, 64, 128, 8, 4, 1)  # positions a step, as they are often chosen
LIMITS = (128, 256, 500, 512)  # of a context, as they are often set
Row = Sequence[float]
Partial = tuple[float, float, list[float]]  # peak, total, acc


def known(call: Decode, row: int, head: int, got: Row, close: float) -> str:
    """The one mistake that gives these numbers, in words; empty if none does, or several do."""
    return _only(
        name
        for name, answer in mistakes(call, row, head)
        if any(answer) and _alike(got, answer, close)
    )


def mistakes(call: Decode, row: int, head: int) -> Iterator[tuple[str, list[float]]]:
    """What is done wrong, and what comes out."""
    width, own, length = call.width, head // call.group, call.lengths[row]
    scores, values = call.scores(row, head, own), call.context(2, row, own)
    other = head % call.kv_heads
    if other != own:
        yield (
            f"if head {head} reads KV head {head} % {call.kv_heads} = {other}, not {head} // {call.group} = {own}",
            averaged(call.scores(row, head, other), call.context(2, row, other), width),
        )
    plain = replace(call, scale=1.0).scores(row, head, own)
    yield "without the scale", averaged(plain, values, width)
    yield "with the scale twice", averaged([score * call.scale for score in scores], values, width)
    yield (
        "with 1 / sqrt(D) for the scale that is given",
        averaged([score / math.sqrt(width) for score in plain], values, width),
    )
    yield "if position 0 is left out", averaged(scores[1:], values[1:], width)
    if not 0 < length - 1 == length // call.split * call.split:  # then it has another name
        yield "if the last position is left out", averaged(scores[:-1], values[:-1], width)
    for pad in {-length % tile for tile in TILES} - {0}:
        zeros = [[0.0] * width] * pad
        yield (
            "if masked positions take part, with the score 0",
            averaged([*scores, *[0.0] * pad], [*values, *zeros], width),
        )
    yield from _cut(call, row, scores, values)
    yield "if every position has the same weight", averaged([0.0] * length, values, width)
    full = length - length % call.block_size
    if full != length:
        yield (
            "if the last block, which is not full, is left out",
            averaged(scores[:full], values[:full], width),
        )
    yield (
        "if only the first block is read",
        averaged(scores[: call.block_size], values[: call.block_size], width),
    )
    _, total, acc = _partial(scores, values)
    yield "if nothing is divided by the sum of the weights", acc if total else []
    yield "if keys are taken for values", averaged(scores, call.context(1, row, own), width)
    yield from _unshrunk(scores, values)
    if call.split > 1:
        yield from _joined(call.split, scores, values)


def _cut(
    call: Decode, row: int, scores: Row, values: Sequence[Row]
) -> Iterator[tuple[str, list[float]]]:
    """Positions that are left out: those in block 0, those beyond a limit of a long context."""
    rest = [at for at in range(len(scores)) if call.tables[row][at // call.block_size]]
    if len(rest) < len(scores) and [*rest[:1], *rest[-1:]] == [
        0,
        len(scores) - 1,
    ]:  # else it has another name
        left = averaged([scores[at] for at in rest], [values[at] for at in rest], call.width)
        yield "if block 0, a block like any other, is left out", left
    for limit in LIMITS:
        if limit < len(scores) - call.block_size:
            yield (
                f"if only the first {limit} positions count",
                averaged(scores[:limit], values[:limit], call.width),
            )


def _unshrunk(scores: Row, values: Sequence[Row]) -> Iterator[tuple[str, list[float]]]:
    """A rise of the peak that is forgotten, for tiles of several sizes."""
    for tile in TILES:
        shrunk = _partial(scores, values)
        stale = _stale(scores, values, tile)
        if stale is None:
            continue
        yield "if acc is not shrunk when the peak rises", _divided(stale[2], shrunk[1])
        yield "if total is not shrunk when the peak rises", _divided(shrunk[2], stale[1])
        yield "if nothing is shrunk when the peak rises", _divided(stale[2], stale[1])


def _stale(scores: Row, values: Sequence[Row], tile: int) -> Partial | None:
    """Sums in which each tile counts with the peak of its time; None where none rises behind the
    first."""
    peaks = [max(scores[: start + tile]) for start in range(0, len(scores), tile)]
    if len(set(peaks)) < 2:
        return None
    weights = [_weight(score, peaks[at // tile]) for at, score in enumerate(scores)]
    return peaks[-1], math.fsum(weights), _sums(weights, values)


def _joined(split: int, scores: Row, values: Sequence[Row]) -> Iterator[tuple[str, list[float]]]:
    """Parts that are joined wrongly."""
    span, floor = -(-len(scores) // split), len(scores) // split
    cuts = [slice(start, start + span) for start in range(0, len(scores), max(1, span))]
    parts = [_partial(scores[cut], values[cut]) for cut in cuts]
    alone = [_divided(acc, total) for _, total, acc in parts]
    if len(parts) > 1:
        yield "if only the first part counts", alone[0]
        yield "if only the last part counts", alone[-1]
        yield "if the results of the parts are averaged, each with the same weight", _mean(alone)
        added = _sums([1.0] * len(parts), [acc for _, _, acc in parts])
        total = math.fsum(total for _, total, _ in parts)
        yield (
            "if the parts are added with the peak of each, not shrunk to a common one",
            _divided(added, total),
        )
    kept = floor * split
    if 0 < kept < len(scores):
        rest = averaged(scores[:kept], values[:kept], len(values[0]))
        yield "if what is left over when the length is divided into parts is left out", rest


def _partial(scores: Row, values: Sequence[Row]) -> Partial:
    if not scores:
        return -math.inf, 0.0, []
    peak = max(scores)
    weights = [_weight(score, peak) for score in scores]
    return peak, math.fsum(weights), _sums(weights, values)


def _weight(score: float, peak: float) -> float:
    return math.exp(min(0.0, score - peak))


def _sums(weights: Row, values: Sequence[Row]) -> list[float]:
    return [sum(map(mul, weights, column)) for column in zip(*values, strict=True)]


def _mean(rows: Sequence[Row]) -> list[float]:
    return [math.fsum(column) / len(rows) for column in zip(*rows, strict=True)]


def _divided(acc: Row, total: float) -> list[float]:
    return [each / total for each in acc] if total else []


def _alike(got: Row, answer: Row, close: float) -> bool:
    return len(got) == len(answer) and all(
        abs(mine - other) <= close for mine, other in zip(got, answer, strict=True)
    )


def _only(names: Iterator[str]) -> str:
    found = set(names)
    return found.pop() if len(found) == 1 else ""
