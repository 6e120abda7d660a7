"""The keys and values of one call, in the grader's process: what a kernel loads is asked for here,
and counted.

In the worker they are NaN until they are asked for, so nobody computes with what was not read, and
how often each was read is known where no part can write.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from graders.exercises.ex7_paged_attention.specification import Decode
from graders.sandbox import protocol
from graders.sandbox.protocol import ProtocolError

READS = 1 << 24
"""Elements that a call may ask for in all."""


class KeptKV:
    """For one call. `told` answers a load; `most` and `least` say what was read, as `judge.Loads`
    has it."""

    def __init__(self, call: Decode) -> None:
        self._call, self._left = call, READS
        self._numbers: tuple[dict[int, int], ...] = tuple(self._places(which) for which in (1, 2))
        self._counts: tuple[Counter[int], ...] = (Counter(), Counter())

    def told(self, answer: dict[str, Any]) -> dict[str, Any]:
        """The sixteenths at the elements that are asked for, None where nobody owns any. Raises
        ProtocolError."""
        protocol.only(answer, ("read",))
        wanted = protocol.field(answer, "read", dict)
        protocol.only(wanted, ("which", "elements"))
        (which,) = protocol.integers([wanted.get("which")], 1)
        elements = protocol.integers(wanted.get("elements"))
        self._left -= len(elements)
        if which not in (0, 1) or self._left < 0:
            raise ProtocolError("a load of what there is not")
        self._counts[which].update(elements)
        return {"numbers": [self._numbers[which].get(element) for element in elements]}

    @property
    def most(self) -> list[list[list[int]]]:
        """For each request, of keys and of values: by position and KV head, how often the column
        that was read most."""
        return self._reads(max)

    @property
    def least(self) -> list[list[list[int]]]:
        """The same of the column that was read least."""
        return self._reads(min)

    def _reads(self, reduced: Any) -> list[list[list[int]]]:
        call = self._call
        return [
            [
                [
                    reduced(
                        counts[self._element(row, cell * call.width + column)]
                        for column in range(call.width)
                    )
                    for cell in range(length * call.kv_heads)
                ]
                for counts in self._counts
            ]
            for row, length in enumerate(call.lengths)
        ]

    def _places(self, which: int) -> dict[int, int]:
        """Where in the pool the numbers of all requests lie. which: 1 for keys, 2 for values."""
        flat = self._call.numbers[1] if which == 1 else self._call.numbers[2]
        return {
            self._element(row, index): number
            for row, numbers in enumerate(flat)
            for index, number in enumerate(numbers)
        }

    def _element(self, row: int, index: int) -> int:
        """Of the pool, for the number at `index` of a request's [length, Hkv, D]."""
        call = self._call
        position, within = divmod(index, call.kv_heads * call.width)
        slot = (
            call.tables[row][position // call.block_size] * call.block_size
            + position % call.block_size
        )
        return slot * call.kv_heads * call.width + within
