"""A worker that answers with distorted copies of the truth: refused or judged, never believed,
never a fault of ours.

The wire itself is tested in test_wire.py; here every law reads answers that are JSON, and not what
its driver sends.
"""

from __future__ import annotations

import dataclasses
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hostile import suite
from local_worker import LocalWorker

import graders.checking.random_cases
import graders.checking.workers
import graders.grading
import graders.sandbox.worker_prestart
import solutions
from graders import ExerciseResult, Outcome, grade
from graders.checking.replies import Raised
from graders.checking.wire_tensors import array_of
from graders.registry.catalogue import exercises
from graders.sandbox.protocol import ProtocolError

JUNK: list[Any] = [
    None,
    True,
    -1,
    3,
    2**62,
    1.5,
    "",
    "x" * 300,
    [],
    [[]],
    [0],
    {},
    {"r": 1},
    {"x": {}},
    {"s": "nan"},
]
JUNK += [
    {"copy": [1]},
    {"s": 3},
    {"type": []},
    ["int64", [1], [1]],
    ["bool", [2**40, 2**40], []],
    {"a": {"b": []}},
]
JUNK += [{"x": {"kinds": [], "type": "E", "text": "t", "frames": []}}]
OFTEN = (0.0, 0.002, 0.01, 0.05)  # the share of the values of an answer that are distorted
UNTOUCHED = ("driver", "load", "stand_in")  # what is asked before the part has been met


class Distorted(LocalWorker):
    """The truth of a right part, with junk in it."""

    dice = random.Random()

    def ask(self, do: str, *, cpu: float = 0.0, wall: float = 0.0, **fields: Any) -> dict[str, Any]:
        answer = super().ask(do, **fields)
        share = 0.0 if do in UNTOUCHED else self.dice.choice(OFTEN)
        return {name: self.distorted(value, share) for name, value in answer.items()}

    def abandon(self) -> None: ...

    def distorted(self, value: Any, share: float) -> Any:
        if self.dice.random() < share:
            return (
                value + self.dice.choice((-1, 1, -(2**40)))
                if type(value) is int
                else self.dice.choice(JUNK)
            )
        if type(value) is list:
            items = [self.distorted(item, share) for item in value]
            return items[1:] if items and self.dice.random() < share else items
        if type(value) is dict:
            return {name: self.distorted(item, share) for name, item in value.items()}
        return value


@pytest.fixture
def graded(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, list[str], int], ExerciseResult]:
    """Grades the solution of an exercise with its answers distorted."""

    def grade_distorted(number: int, laws: list[str], seed: int) -> ExerciseResult:
        Distorted.dice = random.Random(seed)
        entry = exercises()[number - 1]
        return grade(
            number, Path(solutions.__path__[0], entry.slug, entry.file_name), seed=seed, only=laws
        )

    for module in (graders.checking.workers, graders.sandbox.worker_prestart):
        monkeypatch.setattr(module, "Worker", Distorted)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.0)
    return grade_distorted


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_no_distorted_answer_is_a_fault_of_ours(
    number: int, graded: Callable[..., ExerciseResult]
) -> None:
    laws = [law.number for law in exercises()[number - 1].laws if law.kind == "unit"]
    outcomes = []
    for seed in range(40):
        number_of_law = laws[seed % len(laws)]
        result = graded(number, [number_of_law], seed)
        json.dumps(result.to_json())
        outcomes.append(result.outcome)
    assert set(outcomes) <= {Outcome.PASS, Outcome.FAIL, Outcome.INVALID}, outcomes
    assert outcomes.count(Outcome.INVALID) > 10


@pytest.mark.parametrize(("number", "law"), [(1, "1.11"), (4, "4.13")])
def test_nor_is_a_distorted_answer_of_the_engine(
    number: int, law: str, graded: Callable[..., ExerciseResult]
) -> None:
    outcomes = [graded(number, [law], seed).outcome for seed in range(4)]
    assert set(outcomes) <= {Outcome.PASS, Outcome.FAIL, Outcome.INVALID}


@pytest.mark.parametrize("shape", [[2**40, 0], [0] * 7, [1 << 21, 0]])
def test_a_tensor_of_nothing_is_not_written_down(shape: list[int]) -> None:
    """A trillion empty rows cost nothing to make, and all memory to write."""
    assert array_of([{"s": "int64"}, shape, []]) is None


@pytest.mark.parametrize(
    ("dtype", "items"),
    [("int64", [True]), ("int64", [1.5]), ("bool", [1]), ("float32", [{"s": "7"}]), ("int64", [])],
)
def test_a_tensor_of_something_else_than_it_says_is_refused(dtype: str, items: list[Any]) -> None:
    with pytest.raises(ProtocolError):
        array_of([{"s": dtype}, [1], items])


@pytest.mark.parametrize(
    ("kinds", "due", "right"),
    [
        (("KeyError",), ("KeyError",), True),
        (("ValueError",), ("KeyError", "ValueError"), True),
        (("KeyError", "ValueError"), ("KeyError",), False),
        (("TypeError",), ("KeyError",), False),
        (("OutOfBlocks", "ValueError"), ("OutOfBlocks",), False),
    ],
)
def test_an_exception_is_what_is_due_and_nothing_that_is_due_elsewhere(
    kinds: tuple[str, ...], due: tuple[str, ...], right: bool
) -> None:
    assert Raised(kinds, "E", "", ()).is_one_of(due) == right


def test_a_fault_of_our_own_leaves_the_law_ungraded_and_the_others_are_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def faulty(_: object) -> None:
        raise ZeroDivisionError("in the grader")

    path = tmp_path / "block_manager.py"
    path.write_text(
        suite.whole("from right import Right\n\n\nclass BlockManager(Right):\n    pass\n")
    )
    laws = [
        dataclasses.replace(law, check=faulty) if law.number == "1.1" else law
        for law in exercises()[0].laws
    ]
    entry = dataclasses.replace(exercises()[0], laws=tuple(laws))
    monkeypatch.setattr(graders.grading, "catalogue", lambda _: entry)
    result = grade(1, path, only=["1.1", "1.7"])
    assert [law.outcome for law in result.laws] == [Outcome.UNGRADED, Outcome.PASS]
    assert (
        "the grader itself failed (ZeroDivisionError: in the grader, test_hostile_answers.py:"
        in result.laws[0].message
    )
