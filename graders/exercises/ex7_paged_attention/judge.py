"""One paged_attention module under test: a call in Triton's interpreter, its result, and what its kernels read."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.replies import Raised, shown
from graders.checking.tensor_calls import TensorCallRecorder
from graders.exercises.ex7_paged_attention.specification import Decode, mistakes
from graders.sandbox import protocol

COLUMNS = 4  # of a row, that a message shows
TOLERANCE = {"float32": 2e-5, "bfloat16": 3e-2}  # beside the largest value
STEEP = 5e-3
"""With scores of ten thousand a rounding of the seventh digit is a hundredth of an exponent."""
WIDE = 1000.0  # scores beyond are steep


class KernelRecorder(TensorCallRecorder):
    """The recorder of exercise 7: a call is told by its sizes."""

    def code_of(self, method: str, args: Sequence[Any]) -> str:
        return ""

    def _outcome_shown(self, reply: Any) -> None:
        if isinstance(reply, Raised):
            self.steps[-1].answered(f"raised {reply}")


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
class Loads:
    """What the kernels read.

    most, least: for each request, of keys and of values, how often each position's row of each KV head was read, flat,
    by the column that was read most and by that which was least. outside: (reads or writes, tensor, program) of what
    lay in no tensor. programs: for each request and KV head how many keys each program read that read any.
    """

    most: list[list[list[int]]]
    least: list[list[list[int]]]
    strays: list[Stray]
    outside: list[tuple[str, str, tuple[int, ...]]]
    programs: list[list[list[int]]]


class KernelJudge:
    """Calls `paged_decode`; the first deviation raises Broken."""

    def __init__(self, context: CheckContext) -> None:
        self.scene = KernelRecorder(context, "paged_attention", "paged_attention")
        self.scene.load()

    def decode(self, call: Decode) -> Loads:
        """What it read; what it returned is right."""
        result, loads = self.called(call)
        if loads.outside:
            does, tensor, program = loads.outside[0]
            message = (
                f"Program {program} {does} an address that lies in no tensor it was given, just outside of `{tensor}`"
                " perhaps: is a mask missing, or an offset wrong?"
            )
            self.scene.broken(message, got="an address outside", expected="addresses of the tensors given")
        array = self.scene.one(result, (len(call.lengths), call.heads, call.width), call.dtype)
        rows = array.nested
        for row in range(len(call.lengths)):
            for head in range(call.heads):
                got = [float(item["s"]) if type(item) is dict else item for item in rows[row][head]]
                self._judge(call, row, head, got)
        return loads

    def own_alone(self, call: Decode) -> None:
        """No key or value is read for a request but its own."""
        loads = self.decode(call)
        for stray in loads.strays:
            self._stray(call, stray)

    def once(self, call: Decode) -> None:
        """Each key and value of a request is read once for each group of query heads."""
        loads = self.decode(call)
        for row, length in enumerate(call.lengths):
            for which, name in enumerate(("key", "value")):
                for cell in range(length * call.kv_heads):
                    most, least = loads.most[row][which][cell], loads.least[row][which][cell]
                    if (most, least) != (1, 1):
                        self._times(call, row, name, divmod(cell, call.kv_heads), most, least)

    def shared_out(self, call: Decode) -> None:
        """Several programs read a long context, none of them more than half."""
        loads = self.decode(call)
        for row, length in enumerate(call.lengths):
            for head, shares in enumerate(loads.programs[row]):
                if max(shares, default=0) > (length + 1) // 2:
                    message = (
                        f"With split = {call.split} one program reads {max(shares)} of the {length} keys of row {row},"
                        f" KV head {head}: the context is not computed in parts."
                    )
                    self.scene.broken(
                        message, got=f"programs that read {shares} keys", expected=f"{call.split} parts, about equal"
                    )

    def called(self, call: Decode) -> tuple[Any, Loads]:
        """The result as plain data, and what was read."""
        scene = self.scene
        given = {
            "sizes": [call.blocks, call.block_size, call.heads, call.kv_heads, call.width, call.dtype],
            "tables": [list(table) for table in call.tables],
            "lengths": list(call.lengths),
            "scale": call.scale,
            "split": call.split,
            "numbers": list(call.numbers),
            "magnitude": call.magnitude,
        }
        reply, _ = scene.call("paged_decode", [given], written(call))
        if isinstance(reply, Raised):
            scene.unexpected(reply, "a tensor")
        value = reply.value
        result, changed, loads = scene.parsed(lambda: _three(value))
        if changed:
            name = shown(changed[0]).strip("'")
            message = f"`paged_decode` changed its argument `{name}`; it changes nothing that it is given."
            scene.broken(message, got=f"`{name}` changed", expected="everything as it was")
        return result, scene.parsed(lambda: _loads(loads))

    def _judge(self, call: Decode, row: int, head: int, got: list[float]) -> None:
        due = call.out(row, head)
        steep = call.scale * (call.largest**2) * call.width > WIDE
        near = max(TOLERANCE[call.dtype], STEEP * steep) * call.largest
        wrong = next((at for at in range(len(due)) if not abs(got[at] - due[at]) <= near), None)
        if wrong is None:
            return
        where = f"out[{row}][{head}]"
        first = max(0, min(wrong, call.width - COLUMNS))
        told, right = (_few(each[first : first + COLUMNS]) for each in (got, due))
        message = f"{where} is wrong from column {wrong} on: {got[wrong]:.5g} where {due[wrong]:.5g} is due."
        if not call.lengths[row]:
            message = f"{where} is not 0, although lengths[{row}] is 0."
        elif math.isnan(got[wrong]):
            message = (
                f"{where} is NaN from column {wrong} on. What request {row} does not own is NaN in this pool:"
                " something of it took part; or inf - inf was asked for, or 0 / 0."
            )
        elif math.isfinite(got[wrong]):
            known = [what for what, answer in mistakes(call, row, head) if _alike(got, answer, 3 * near)]
            message = f"{where} is what comes out {known[0]}." if len(known) == 1 else message
        self.scene.broken(message, got=f"{where}[{first}:] = {told}", expected=right)

    def _stray(self, call: Decode, stray: Stray) -> None:
        what = "key" if stray.tensor == "k" else "value"
        holder = next((row for row in range(len(call.lengths)) if stray.block in self._own(call, row)), None)
        whose = f"request {holder}'s" if holder is not None else "nobody's"
        place = f"the {what} in slot {stray.slot} of block {stray.block}"
        message = f"Program {stray.program} reads {place}, which is {whose}."
        if stray.request >= 0 and stray.request < len(call.lengths):
            row, length = stray.request, call.lengths[stray.request]
            table = call.tables[row]
            entries = [entry for entry in range(len(table)) if table[entry] == stray.block]
            at = f"position {entries[0] * call.block_size + stray.slot}, " if entries else ""
            message = f"For request {row}, whose length is {length}, {at}{place} is read, which is {whose}."
        own = [self._own(call, row) for row in range(len(call.lengths))]
        self.scene.broken(message, got=f"block {stray.block}", expected=f"own blocks, {own}")

    def _own(self, call: Decode, row: int) -> list[int]:
        return list(call.tables[row][: -(-call.lengths[row] // call.block_size)])

    def _times(self, call: Decode, row: int, name: str, at: tuple[int, int], most: int, least: int) -> None:
        position, head = at
        what = f"the {name} of request {row}, position {position}, KV head {head}"
        if not most:
            why = "no kernel reads it. Is the context copied with torch first?"
        elif not least:
            why = "not all of its columns are read."
        elif most == call.group and call.group > 1:
            why = f"it is read {most} times, once for each query head of the group; one read serves them all."
        else:
            why = f"it is read {most} times."
        block = call.tables[row][position // call.block_size]
        message = f"{what[0].upper()}{what[1:]} (block {block}, slot {position % call.block_size}): {why}"
        self.scene.broken(message, got=f"{most} reads", expected="1 read for the group")


def written(call: Decode) -> str:
    """The line of the story."""
    sizes = f"block_size {call.block_size}, Hq {call.heads}, Hkv {call.kv_heads}, D {call.width}, {call.dtype}"
    tables = [list(table) for table in call.tables]
    told = f"tables={tables}, lengths={list(call.lengths)}, scale={call.scale:g}"
    split = f", split={call.split}" if call.split != 1 else ""
    return f"paged_decode(q, k, v, {told}{split})   # {sizes}"


def _alike(got: Sequence[float], answer: Sequence[float], close: float) -> bool:
    """Whether that is what came out; zeros tell nothing."""
    return any(answer) and all(abs(mine - other) <= close for mine, other in zip(got, answer, strict=True))


def _few(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:.5g}" for number in numbers) + "]"


def _three(value: Any) -> list[Any]:
    if type(value) is not list or len(value) != 3 or type(value[1]) is not list:
        raise protocol.ProtocolError("an answer that is not one")
    return value


def _loads(data: Any) -> Loads:
    if type(data) is not list or len(data) != 5:
        raise protocol.ProtocolError("loads that are none")
    most, least, strays, outside, programs = data
    try:
        return Loads(
            most=[[protocol.integers(each) for each in row] for row in most],
            least=[[protocol.integers(each) for each in row] for row in least],
            strays=[_stray(each) for each in strays],
            outside=[(_name(does), _name(name), tuple(protocol.integers(program))) for does, name, program in outside],
            programs=[[protocol.integers(shares) for shares in heads] for heads in programs],
        )
    except (TypeError, ValueError, IndexError, KeyError):
        raise protocol.ProtocolError("loads that are none") from None


def _stray(data: Any) -> Stray:
    block, slot, head, request = protocol.integers(data[1:5], 4)
    return Stray(_name(data[0]), block, slot, head, request, tuple(protocol.integers(data[5])))


def _name(data: Any) -> str:
    return str(data["s"])
