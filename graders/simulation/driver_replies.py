"""What the driver of the symbolic engine answers (see `graders.sandbox.guest.scheduler`), read
strictly.

Whatever is not of the form that the driver writes is a ProtocolError. What the parts themselves put
into it, an id or a number that is no int, is a Deviation: they are wrong, and nobody has tampered.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from graders.checking.failure import Deviation
from graders.checking.replies import returned_again, shown
from graders.sandbox import protocol
from graders.simulation.backend import items
from graders.simulation.scheduler_rules import ADMIT, DROP, EXTEND, KVCall, Planned, PlannedChunk

CALLS = ("lookup", "admit", "extend", "truncate", "drop")  # by number
Held = dict[int, int]


@dataclass(frozen=True, slots=True)
class Aborted:
    """idle: whatever the scheduler said."""

    asked: tuple[KVCall, ...]
    held: Held
    idle: Any


@dataclass(frozen=True, slots=True)
class CommitReply:
    """told: what the model said, by request. outputs: of the requests that were told something,
    whatever they hold."""

    told: dict[int, list[int]]
    finished: list[int]
    asked: tuple[KVCall, ...]
    held: Held
    outputs: list[tuple[int, Any]]


@dataclass(frozen=True, slots=True)
class PoolCounts:
    """idle: whatever the scheduler said. free, evictable, protected: blocks."""

    idle: Any
    free: int
    evictable: int
    protected: int


def plan_of(value: Any) -> Planned:
    chunks, preempted, copies, asked, held, tables, books = items(value, 7)
    works = []
    for chunk in every(chunks):
        if [type(item) for item in items(chunk, 4)] != [int, int, int, bool]:
            message = f"A Chunk of the plan is {shown(chunk)}: id, start and length are ints, samples is a bool."
            raise Deviation(message, shown(chunk), "Chunk(int, int, int, bool)")
        works.append(PlannedChunk(*chunk))
    kept = books_of(books)
    return Planned(
        tuple(works),
        tuple(ints(preempted, "Plan.preempted")),
        tuple(_pair(copy, "A Copy of the plan") for copy in every(copies)),
        asked_of(asked),
        held_of(held),
        dict(_table(pair) for pair in every(tables)),
        kept.free + kept.evictable,
        kept.idle is True,
    )


def abort_of(value: Any) -> Aborted:
    asked, held, idle = items(value, 3)
    return Aborted(asked_of(asked), held_of(held), idle)


def commit_of(value: Any) -> CommitReply:
    told, finished, asked, held, outputs = items(value, 5)
    again = returned_again("commit", finished)
    if again:
        raise again
    if type(finished) is not list or any(type(id) is not int for id in finished):
        raise Deviation(
            "`commit` returned something else than a list of ids.", shown(finished), "a list of ids"
        )
    said = {
        _int(id): protocol.integers(tokens)
        for id, tokens in (items(pair, 2) for pair in every(told))
    }
    written = [(_int(id), output) for id, output in (items(pair, 2) for pair in every(outputs))]
    return CommitReply(said, finished, asked_of(asked), held_of(held), written)


def books_of(value: Any) -> PoolCounts:
    idle, free, evictable, protected = items(value, 4)
    for name, number in (("num_free", free), ("evictable", evictable), ("protected", protected)):
        if type(number) is not int:
            raise Deviation(
                f"{name} is {shown(number)}; a number of blocks is due.", shown(number), "an int"
            )
    return PoolCounts(idle, free, evictable, protected)


def held_of(value: Any) -> Held:
    return dict(_pair(pair, "What is reserved: request, tokens") for pair in every(value))


def asked_of(value: Any) -> tuple[KVCall, ...]:
    return tuple(_asked(call) for call in every(value))


def _asked(call: Any) -> KVCall:
    what, id, number, answer = items(call, 4)
    if type(what) is not int or not 0 <= what < len(CALLS):
        raise protocol.ProtocolError("a call of the KV manager that is none")
    name = f"kv.{CALLS[what]}"
    if type(id) is not int or type(number) is not int:
        given = f"{name}({shown(id)}, …, {shown(number)})"
        raise Deviation(
            f"{given}: the id of a request and a number of tokens are due.", given, "ints"
        )
    if what == EXTEND:
        ends = [] if answer is None else protocol.integers(answer)
        if len(ends) % 2:
            raise protocol.ProtocolError("half a copy")
        copies = tuple(zip(ends[::2], ends[1::2], strict=True))
        return KVCall(what, id, number, None if answer is None else 1, copies=copies)
    if what == DROP:
        return KVCall(what, id, number, None, tuple(ints(answer, f"The tokens given to {name}")))
    offered = tuple[int, ...]()
    if what == ADMIT:
        answer, tokens = items(answer, 2)
        offered = tuple(ints(tokens, f"The tokens given to {name}"))
    if answer is not None and type(answer) not in (int, bool):
        raise Deviation(f"{name} answered {shown(answer)}.", shown(answer), "an int, or None")
    return KVCall(what, id, number, answer, offered)


def _table(pair: Any) -> tuple[int, list[int]]:
    id, table = items(pair, 2)
    return _int(id), ints(table, f"The table of request {id}")


def _pair(pair: Any, what: str) -> tuple[int, int]:
    if type(pair) is list and len(pair) == 2 and type(pair[0]) is int and type(pair[1]) is int:
        return pair[0], pair[1]
    first, second = ints(items(pair, 2), what)
    return first, second


def every(value: Any) -> list[Any]:
    """`value` as a list; ProtocolError if it is none."""
    return items(value, len(value) if type(value) in (list, tuple) else 0)


def ints(value: Any, what: str) -> list[int]:
    """`value` as a list of ints; Deviation if the part put something else in there."""
    found = every(value)
    if any(type(item) is not int for item in found):
        raise Deviation(f"{what}: {shown(found)}; plain ints are due.", shown(found), "ints")
    return found


def _int(value: Any) -> int:
    if type(value) is not int:
        raise protocol.ProtocolError("an answer about nobody")
    return value
