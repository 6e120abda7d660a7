"""One paged_attention module under test: a call in Triton's interpreter, its result, and what its
kernels read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from graders.checking.check_context import CheckContext
from graders.checking.replies import Raised, shown
from graders.checking.tensor_calls import NO_ROWS, TensorCallRecorder
from graders.exercises.ex7_paged_attention import diagnostics
from graders.exercises.ex7_paged_attention.diagnostics import Outside, Stray, Tail
from graders.exercises.ex7_paged_attention.kept_kv import KeptKV
from graders.exercises.ex7_paged_attention.specification import Decode
from graders.sandbox import protocol

SLOT = "paged_attention"
IMPORTS = f"""from {__package__}.judge import sent
from {__package__}.specification import Decode
from graders.sandbox.guest.paged_attention import Given  # first: it turns Triton's interpreter on

import {SLOT}  # print(tensor) works in its kernels
"""
GIVEN = "*given.tensors.values(), given.scale, **given.keywords"
COLUMNS = 4  # of a row, that a message shows
TOLERANCE = {"float32": 2e-5, "bfloat16": 3e-2}  # beside the largest value
STEEP = 5e-3
"""With scores of ten thousand a rounding of the seventh digit is a hundredth of an exponent."""
WIDE = 1000.0  # scores beyond are steep


class KernelRecorder(TensorCallRecorder):
    """The recorder of exercise 7: a call is told by its sizes, and a script makes its tensors anew."""

    asked: Decode | None = None

    def code_of(self, method: str, args: Sequence[Any]) -> str:
        return f"given = Given(**sent({self.asked}))\nanswer = {SLOT}.{method}({GIVEN})"

    def _outcome_shown(self, reply: Any) -> None:
        if isinstance(reply, Raised):
            self.steps[-1].answered(f"raised {reply}")


@dataclass(frozen=True)
class Loads:
    """What the kernels read.

    most, least: for each request, of keys and of values, how often each position's row of each KV
    head was read, flat, by the column that was read most and by that which was least. outside: what
    lay in no tensor. programs: for each request and KV head how many keys each program read that
    read any. stored: how many numbers they wrote. unsaid: how many numbers masked loads left out
    without an `other`. narrow: the largest product that was computed in int32.
    """

    most: list[list[list[int]]]
    least: list[list[list[int]]]
    strays: list[Stray]
    tails: list[Tail]
    outside: list[Outside]
    programs: list[list[list[int]]]
    stored: int
    unsaid: int
    narrow: int


class KernelJudge:
    """Calls `paged_decode`; the first deviation raises Broken."""

    def __init__(self, context: CheckContext) -> None:
        self._kept: KeptKV | None = None
        self.scene = KernelRecorder(replace(context, told=self._told), SLOT, SLOT, IMPORTS)
        self.scene.load()

    def decode(self, call: Decode) -> Loads:
        """What it read; what it returned is right."""
        result, loads = self.called(call)
        self._right(call, result, loads)
        return loads

    def _right(self, call: Decode, result: Any, loads: Loads) -> None:
        if loads.outside:
            message = diagnostics.outside_told(call, loads.outside[0])
            self.scene.broken(
                message, got="an address outside", expected="addresses of the tensors given"
            )
        array = self.scene.one(result, (len(call.lengths), call.heads, call.width), call.dtype)
        rows = array.nested
        for row in range(len(call.lengths)):
            for head in range(call.heads):
                got = [float(item["s"]) if type(item) is dict else item for item in rows[row][head]]
                self._judge(call, row, head, got, loads)

    def far(self, call: Decode) -> None:
        """No offset of a block that lies far in the pool is computed in int32: nothing that is
        larger than any slot's number."""
        loads = self.decode(call)
        if loads.narrow >= call.blocks * call.block_size:
            message = (
                f"An offset of {loads.narrow} is computed in int32, which ends at 2**31: a pool of an engine has more"
                " numbers than that, and what is beyond would be read elsewhere. Take block.to(tl.int64) before it is"
                " multiplied."
            )
            self.scene.broken(
                message, got=f"{loads.narrow} in int32", expected="an offset in int64"
            )

    def own_alone(self, call: Decode) -> None:
        """No key or value is read for a request but its own."""
        loads = self.decode(call)
        for stray in loads.strays:
            own = [diagnostics.own_blocks(call, row) for row in range(len(call.lengths))]
            message = diagnostics.stray_told(call, stray)
            self.scene.broken(message, got=f"block {stray.block}", expected=f"own blocks, {own}")

    def once(self, call: Decode) -> None:
        """Each key and value of a request is read once for each group of query heads, as the grader
        counts them."""
        result, loads = self.called(call, KeptKV(call))
        for row, length in enumerate(call.lengths):
            for which, name in enumerate(("key", "value")):
                for cell in range(length * call.kv_heads):
                    most, least = loads.most[row][which][cell], loads.least[row][which][cell]
                    if (most, least) != (1, 1):
                        self._times(call, row, name, divmod(cell, call.kv_heads), most, least)
        self._right(call, result, loads)
        self._not_copied(call, loads)

    def _not_copied(self, call: Decode, loads: Loads) -> None:
        held = sum(call.lengths) * call.kv_heads * call.width
        if loads.stored >= held > call.partials:
            message = (
                f"Kernels write {loads.stored} numbers, and all keys of the context have {held}: it is copied before it"
                f" is used. Score a tile of keys where it is loaded; all that a part leaves is peak, total and acc."
            )
            self.scene.broken(
                message, got=f"{loads.stored} written", expected=f"{call.partials} at most"
            )

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
                        message,
                        got=f"programs that read {shares} keys",
                        expected=f"{call.split} parts, about equal",
                    )

    def called(self, call: Decode, kept: KeptKV | None = None) -> tuple[Any, Loads]:
        """The result as plain data, and what was read. kept: has the keys and values, which the
        worker asks for."""
        scene, self._kept = self.scene, kept
        scene.asked = call
        reply, _ = scene.call("paged_decode", [sent(call, kept=kept is not None)], written(call))
        if isinstance(reply, Raised):
            first = (
                f", out[0][0] = {_few(call.out(0, 0)[:COLUMNS])[:-1]}, …]" if call.lengths else ""
            )
            shape = [len(call.lengths), call.heads, call.width]
            scene.unexpected(reply, f"a tensor {shape}{first}", "" if call.lengths else NO_ROWS)
        value = reply.value
        result, changed, loads = scene.parsed(lambda: _three(value))
        if changed:
            name = shown(changed[0]).strip("'")
            message = f"`paged_decode` changed its argument `{name}`; it changes nothing that it is given."
            scene.broken(message, got=f"`{name}` changed", expected="everything as it was")
        found = scene.parsed(lambda: _loads(loads))
        return result, found if kept is None else replace(found, most=kept.most, least=kept.least)

    def _told(self, answer: dict[str, Any]) -> dict[str, Any]:
        if self._kept is None:
            raise protocol.ProtocolError("a question where none is due")
        return self._kept.told(answer)

    def _judge(self, call: Decode, row: int, head: int, got: list[float], loads: Loads) -> None:
        due = call.out(row, head)
        steep = call.scale * (call.largest**2) * call.width > WIDE
        near = max(TOLERANCE[call.dtype], STEEP * steep) * call.largest
        wrong = next((at for at in range(len(due)) if not abs(got[at] - due[at]) <= near), None)
        if wrong is None:
            return
        where = f"out[{row}][{head}]"
        first = max(0, min(wrong, call.width - COLUMNS))
        told, right = (_few(each[first : first + COLUMNS]) for each in (got, due))
        where_from = diagnostics.nan_source(
            call, row, head, loads.strays, loads.tails, loads.unsaid
        )
        message = diagnostics.fault(call, row, head, got, wrong, 3 * near, where_from)
        self.scene.broken(message, got=f"{where}[{first}:] = {told}", expected=right)

    def _times(
        self, call: Decode, row: int, name: str, at: tuple[int, int], most: int, least: int
    ) -> None:
        position, head = at
        what = f"the {name} of request {row}, position {position}, KV head {head}"
        if not most:
            why = "no kernel reads it. Is the context copied with torch first?"
        elif not least:
            why = "not all of its columns are read."
        elif most == call.group == call.split:
            why = f"it is read {most} times, once for each query head of the group, or once by each part."
        elif most == call.split:
            why = f"it is read {most} times, once by each of the parts; a part reads its own positions alone."
        elif most == call.group:
            why = f"it is read {most} times, once for each query head of the group; one read serves them all."
        else:
            why = f"it is read {most} times."
        block = call.tables[row][position // call.block_size]
        message = (
            f"{what[0].upper()}{what[1:]} (block {block}, slot {position % call.block_size}): {why}"
        )
        self.scene.broken(message, got=f"{most} reads", expected="1 read for the group")


def sent(call: Decode, *, kept: bool = False) -> dict[str, Any]:
    """The call as the driver in the worker takes it. kept: without keys and values."""
    return {
        "sizes": [call.blocks, call.block_size, call.heads, call.kv_heads, call.width, call.dtype],
        "tables": [list(table) for table in call.tables],
        "lengths": list(call.lengths),
        "scale": call.scale,
        "keywords": {"split": call.split} if call.split != 1 else {},
        "numbers": [call.numbers[0], None, None] if kept else list(call.numbers),
        "magnitude": call.magnitude,
    }


def written(call: Decode) -> str:
    """The line of the story."""
    sizes = f"block_size {call.block_size}, Hq {call.heads}, Hkv {call.kv_heads}, D {call.width}, {call.dtype}"
    tables = [list(table) for table in call.tables]
    told = f"tables={tables}, lengths={list(call.lengths)}, scale={call.scale:g}"
    split = f", split={call.split}" if call.split != 1 else ""
    return f"paged_decode(q, k, v, {told}{split})   # {sizes}"


def _few(numbers: Sequence[float]) -> str:
    return "[" + ", ".join(f"{number:.5g}" for number in numbers) + "]"


def _three(value: Any) -> list[Any]:
    if type(value) is not list or len(value) != 3 or type(value[1]) is not list:
        raise protocol.ProtocolError("an answer that is not one")
    return value


def _loads(data: Any) -> Loads:
    if type(data) is not list or len(data) != 9:
        raise protocol.ProtocolError("loads that are none")
    most, least, strays, outside, programs, tails, *counted = data
    try:
        stored, unsaid, narrow = protocol.integers(counted, 3)
        return Loads(
            most=[[protocol.integers(each) for each in row] for row in most],
            least=[[protocol.integers(each) for each in row] for row in least],
            strays=[_stray(each) for each in strays],
            tails=[Tail(_name(name), *protocol.integers(place, 3)) for name, *place in tails],
            outside=[_outside(each) for each in outside],
            programs=[[protocol.integers(shares) for shares in heads] for heads in programs],
            stored=stored,
            unsaid=unsaid,
            narrow=narrow,
        )
    except (TypeError, ValueError, IndexError, KeyError):
        raise protocol.ProtocolError("loads that are none") from None


def _stray(data: Any) -> Stray:
    block, slot, head, request = protocol.integers(data[1:5], 4)
    return Stray(_name(data[0]), block, slot, head, request, tuple(protocol.integers(data[5])))


def _outside(data: Any) -> Outside:
    (element,) = protocol.integers(data[2:3], 1)
    return Outside(_name(data[0]), _name(data[1]), element, tuple(protocol.integers(data[3])))


def _name(data: Any) -> str:
    return str(data["s"])
