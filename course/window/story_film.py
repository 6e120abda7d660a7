"""The story of a broken law as a film: a frame a call, drawn as far as calls and answers tell what
they did."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from contextlib import suppress
from typing import Any

from course.window.page import EngineRun, Window, call_record
from graders.result import LawResult
from reference_engine.metrics import StepRecord
from reference_engine.slots import Block, Copy


def film(law: LawResult) -> Window | None:
    """The story of a law's failure; None where it has none."""
    if law.story is None:
        return None
    calls = [_split(step) for step in law.story.steps]
    captions = [
        *calls[:-1],
        (*calls[-1], "bad"),
        (f"{law.message} Expected: {law.story.expected}", "", "bad"),
    ]
    pool = PoolInStory()
    records = [pool.told(number, *call) for number, call in enumerate([*calls, ("", "")])]
    run = EngineRun(f"law {law.number}", pool.num_blocks, pool.block_size, 0, records, captions)
    return Window(f"Law {law.number}, {law.name}: the story that breaks it", (run,), {})


class PoolInStory:
    """The tables that the answers of a block manager amount to; empty in the story of another part.

    num_blocks: scratch included, 1 where there is no pool to be seen.
    """

    def __init__(self) -> None:
        self.num_blocks, self.block_size = 1, 1
        self._tables: dict[int, list[Block]] = {}
        self._lengths: dict[int, int] = {}
        self._retained: list[Block] = []

    @property
    def free(self) -> int:
        """Blocks that nobody refers to."""
        used = {block for table in self._tables.values() for block in table} | {*self._retained}
        return max(0, self.num_blocks - 1 - len(used))

    def told(self, number: int, call: str, answer: str) -> StepRecord:
        """The record of the next call. What cannot be read, or does not fit, changes nothing."""
        before, copies = set(self._tables), tuple[Copy, ...]()
        # told in words
        with suppress(SyntaxError, ValueError, TypeError, KeyError, IndexError, AttributeError):
            copies = self._do(*_parsed(call), _value(ast.parse(answer or "None", mode="eval").body))
        seats = {seq: (self._lengths[seq], table) for seq, table in self._tables.items()}
        return call_record(
            number, seats, self.free, {"copies": copies, "aborted": tuple(before - set(seats))}
        )

    def _do(self, name: str, args: dict[str | int, Any], answer: Any) -> tuple[Copy, ...]:
        values = list(args.values())
        if name == "BlockManager":
            self.num_blocks, self.block_size = values[:2]
        elif name == "admit":
            self._grow(values[0], values[1], [*args.get("shared", ()), *answer])
        elif name == "extend":
            return self._extended(values[0], values[1], *answer)
        elif name == "truncate":
            self._grow(
                values[0], values[1], self._tables[values[0]][: -(-values[1] // self.block_size)]
            )
        elif name == "fork" and values[0] in self._tables:
            self._grow(values[1], self._lengths[values[0]], list(self._tables[values[0]]))
        elif name == "free":
            del self._tables[values[0]], self._lengths[values[0]]
        elif name == "retain":
            self._retained += values[0]
        elif name == "release":
            for block in values[0]:
                self._retained.remove(block)
        return ()

    def _extended(
        self, seq: int, length: int, new: Sequence[Block], copies: Sequence[Copy]
    ) -> tuple[Copy, ...]:
        moved = {copy.src: copy.dst for copy in copies}
        table = [moved.get(block, block) for block in self._tables[seq]]
        self._grow(seq, length, [*table, *(block for block in new if block not in table)])
        return tuple(copies)

    def _grow(self, seq: int, length: int, table: list[Block]) -> None:
        self._tables[seq], self._lengths[seq] = table, length


def _split(step: str) -> tuple[str, str]:
    call, _, answer = step.partition(" -> ")
    return call, answer


def _parsed(call: str) -> tuple[str, dict[str | int, Any]]:
    """Name and arguments of a call, those without a name by their place."""
    node: Any = ast.parse(call).body[0]
    made = node.value
    name = made.func.attr if isinstance(made.func, ast.Attribute) else made.func.id
    return name, dict(_arguments(made))


def _arguments(call: ast.Call) -> Iterator[tuple[str | int, Any]]:
    yield from ((place, _value(arg)) for place, arg in enumerate(call.args))
    yield from ((str(keyword.arg), _value(keyword.value)) for keyword in call.keywords)


def _value(node: ast.expr) -> Any:
    """Of a literal in which there may be copies."""
    if isinstance(node, ast.List | ast.Tuple):
        return [_value(each) for each in node.elts]
    if isinstance(node, ast.Call):
        name, args = _parsed(ast.unparse(node))
        return Copy(*args.values()) if name == "Copy" else next(iter(args.values()))
    return ast.literal_eval(node)
