"""Serving requests that come one by one: how many steps a question asks for, and what is believed
of the answer."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from graders.checking.replies import Returned
from graders.sandbox.guest import throughput as child
from graders.sandbox.protocol import ProtocolError
from graders.throughput import timed_engine


class Engine:
    """Says token 7 to every request in each step, three times."""

    def __init__(self) -> None:
        self.left: dict[int, int] = {}
        self.made = 0

    @property
    def idle(self) -> bool:
        return not self.left

    def add(self, prompt: list[int], max_new: int) -> int:
        self.left[10 + len(self.left)] = max_new
        return 9 + len(self.left)

    def step(self) -> list[Any]:
        self.made += 1
        events = [SimpleNamespace(id=id, tokens=[7]) for id in self.left]
        self.left = {id: left - 1 for id, left in self.left.items() if left > 1}
        return events


def test_a_question_lasts_until_the_next_guest_comes_and_five_milliseconds_at_least() -> None:
    pace = timed_engine.Pace()
    assert pace.steps(3.0) == 1  # how long a step takes is not known
    pace.note(4, 0.008)
    assert [pace.steps(seconds) for seconds in (-1.0, 0.0, 0.005, 0.0061, 0.011, 9.0)] == [
        3,
        3,
        3,
        4,
        6,
        16,
    ]
    pace.note(1, 0.5)
    assert pace.steps(0.1) == 1


def test_the_engine_makes_as_many_steps_as_it_is_asked_for_or_all() -> None:
    serving = SimpleNamespace(engine=Engine(), requests={})
    assert child.steps(serving, [[[1, 2], 3]], 2) == [[(0, [7, 7])], False]
    assert serving.engine.made == 2
    assert child.steps(serving, [], 5) == [[(0, [7])], True]
    assert serving.engine.made == 3
    serving = SimpleNamespace(engine=Engine(), requests={})
    assert child.steps(serving, [[[1], 3], [[2], 1]], timed_engine.ALL) == [
        [(0, [7, 7, 7]), (1, [7])],
        True,
    ]


@pytest.mark.parametrize(
    "answer",
    [
        [[[2, [7]]], True],
        [[[-1, [7]]], True],
        [[[True, [7]]], True],
        [[[0, [7]]], 1],
        [[[0, [7.0]]], True],
        [[7], True],
    ],
)
def test_only_those_who_have_come_get_tokens(answer: Any) -> None:
    recorder: Any = SimpleNamespace(
        steps=["made"], call=lambda *_: (Returned(answer), None), parsed=lambda read: read()
    )
    with pytest.raises(ProtocolError):
        timed_engine._some_steps(recorder, 1, [], [[], []])


def test_tokens_are_added_to_what_was_said() -> None:
    outputs: list[list[int]] = [[5], []]
    recorder: Any = SimpleNamespace(
        steps=["made"],
        call=lambda *_: (Returned([[[1, [7]], [0, [8]]], False]), None),
        parsed=lambda read: read(),
    )
    assert timed_engine._some_steps(recorder, 1, [], outputs) is False
    assert outputs == [[5, 8], [7]]
