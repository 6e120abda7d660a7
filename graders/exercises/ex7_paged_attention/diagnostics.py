"""What is said of a wrong result or read: which number, whose block, and what else would give it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from graders.exercises.ex7_paged_attention import mistakes
from graders.exercises.ex7_paged_attention.specification import BEYOND, Decode

NEAR = 0.01  # beside the largest value: so far off are 16 bits
STEEP = 80.0  # exp of a score beyond is no number of float32, or hardly


@dataclass(frozen=True)
class Stray:
    """A read of what is not the request's own. request: -1 where it is not known for whom."""

    tensor: str
    block: int
    slot: int
    head: int
    request: int
    program: tuple[int, ...]


@dataclass(frozen=True)
class Outside:
    """An address in no tensor. does: "reads" or "writes". tensor, element: as which it was meant,
    perhaps."""

    does: str
    tensor: str
    element: int
    program: tuple[int, ...]


@dataclass(frozen=True)
class Tail:
    """A slot that was read in a request's last block, beyond its length: its first columns, so
    many."""

    tensor: str
    block: int
    slot: int
    columns: int


def fault(
    call: Decode, row: int, head: int, got: Sequence[float], wrong: int, close: float, source: str
) -> str:
    """One sentence or two about out[row][head], which is wrong at a column. source: from where NaN
    would come."""
    where, due = f"out[{row}][{head}]", call.out(row, head)
    if not call.lengths[row]:
        why = (
            ": there is no position, so the total is 0, and 0 / 0 is NaN"
            if math.isnan(got[wrong])
            else ""
        )
        return f"{where} is not 0, although lengths[{row}] is 0{why}."
    if math.isnan(got[wrong]):
        return f"{where} is NaN from column {wrong} on: {source}"
    if not any(got):
        highest, more = max(call.scores(row, head, head // call.group)), ""
        if call.split > call.lengths[row]:
            more = ": each of more parts than positions has ceil(length / split) = 1"
        elif highest < -STEEP:
            more = (
                f": no score is above {highest:.4g}, and the peak begins at -inf, not at a number"
                " above that"
            )
        return (
            f"{where} is wrong, 0 everywhere, although lengths[{row}] is {call.lengths[row]}{more}."
        )
    made = mistakes.known(call, row, head, got, close) if math.isfinite(got[wrong]) else ""
    if made:
        return f"{where} is what comes out {made}."
    off = max(abs(mine - right) for mine, right in zip(got, due, strict=True))
    near = " It is near: is something kept in 16 bits?" if off < NEAR * call.largest else ""
    return f"{where} is wrong from column {wrong} on: {got[wrong]:.5g} where {due[wrong]:.5g} is due.{near}"


def nan_source(
    call: Decode, row: int, head: int, strays: Sequence[Stray], tails: Sequence[Tail], unsaid: int
) -> str:
    """From where NaN came: a read of what nobody owns, which is NaN in this pool; what a masked load
    left out, and was told nothing to put there; else from arithmetic."""
    if not call.lengths[row]:
        return ""
    own = [stray for stray in strays if stray.request in (row, -1)]
    if own:
        return f"what nobody owns is NaN here, and it took part. {stray_told(call, own[0])}"
    blocks = own_blocks(call, row)
    beyond = [tail for tail in tails if tail.block in blocks]
    if beyond:
        return _tail_told(call, row, beyond[0])
    if unsaid:
        return (
            "a load with a mask and without `other` leaves what is masked undefined. It is NaN here, and it took part:"
            " say other=0.0."
        )
    scores = call.scores(row, head, head // call.group)
    largest = max(map(abs, scores))
    if max(scores) < -STEEP:
        return (
            f"nothing was read but its own. Its scores are {max(scores):.4g} and below: exp of that is"
            " 0, unless the peak is taken off first, which begins at -inf, and 0 / 0 is NaN."
        )
    if largest > STEEP:
        return (
            f"nothing was read but its own. Its scores reach {largest:.4g}: exp of that is inf, unless the peak"
            " is taken off first, and inf / inf is NaN."
        )
    empty = (
        "a part without positions" if call.split > 1 else "a tile in which every position is masked"
    )
    return (
        f"nothing was read but its own, so exp(-inf - -inf) was asked for, as by {empty}; or 0 / 0."
    )


def _tail_told(call: Decode, row: int, tail: Tail) -> str:
    what = "key" if tail.tensor == "k" else "value"
    position = own_blocks(call, row).index(tail.block) * call.block_size + tail.slot
    place = f"slot {tail.slot} of block {tail.block} (position {position}, and the length is {call.lengths[row]})"
    if tail.columns < call.width:
        read = f"columns 0 to {tail.columns - 1} of the {what} in {place} were read, and are NaN"
        return f"{read}: is the load masked by column < D = {call.width}?"
    read = f"the {what} in {place} was read, and is NaN"
    return f"{read}: a weight of 0 does not hide it, the load has to be masked, with other=0.0."


def stray_told(call: Decode, stray: Stray) -> str:
    """One sentence: what was read for whom, and whose it is."""
    what = "key" if stray.tensor == "k" else "value"
    holder = next(
        (row for row in range(len(call.lengths)) if stray.block in own_blocks(call, row)), None
    )
    whose = f"request {holder}'s" if holder is not None else "nobody's"
    place = f"the {what} in slot {stray.slot} of block {stray.block}"
    if not 0 <= stray.request < len(call.lengths):
        return f"Program {stray.program} reads {place}, which is {whose}."
    length, table = call.lengths[stray.request], call.tables[stray.request]
    entries = [entry for entry in range(len(table)) if table[entry] == stray.block]
    at = f"position {entries[0] * call.block_size + stray.slot}, " if entries else ""
    return f"For request {stray.request}, whose length is {length}, {at}{place} is read, which is {whose}."


def outside_told(call: Decode, outside: Outside) -> str:
    """One sentence: which element of which tensor that would be, and for a pool which block."""
    pool, rows = call.blocks * call.block_size * call.kv_heads * call.width, len(call.lengths)
    queries, entries = rows * call.heads * call.width, rows * len(call.tables[0]) if rows else 0
    size = {"k": pool, "v": pool, "q": queries, "tables": entries, "lengths": rows}.get(
        outside.tensor, 0
    )
    told = f"Program {outside.program} {outside.does} outside of every tensor that it was given: it would be"
    told += f" element {outside.element} of `{outside.tensor}`, which has {size}"
    if outside.tensor in ("k", "v"):
        block = outside.element // (pool // call.blocks)
        told += f"; that is block {block}"
        if block in BEYOND:
            return f"{told}, from a table beyond its length: is the load masked, and does row b begin at entry b * T?"
    return f"{told}. Is a mask missing, or an offset wrong?"


def own_blocks(call: Decode, row: int) -> list[int]:
    """Those that its length covers."""
    return list(call.tables[row][: -(-call.lengths[row] // call.block_size)])
