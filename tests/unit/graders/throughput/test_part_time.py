"""The part's calls alone under the clock: the arithmetic with a clock of its own, and the drivers'
answers."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from wrong_parts import wrong_part

import graders
from graders.checking.failure import Broken
from graders.registry.parts import timed_calls
from graders.result import Outcome
from graders.sandbox.worker import Reading
from graders.throughput import timing
from graders.throughput.bounds import VARIABLE, BadBounds, part_bounds, read, read_parts
from graders.throughput.part_time import PartContest, Ran

WIRE = 0.0004
SECONDS = {"propose": 0.0003, "verify_greedy": 0.0002, "compact": 0.0001, "verify_typical": 0.002}
BASES = Path(__file__).parents[3] / "bases"


@dataclass
class Clockwork:
    """A side that takes the time it is told to: of each call so many seconds, `slower` times as
    many."""

    slower: dict[str, float] = field(default_factory=dict)
    every: float = 1.0
    lies: str = ""
    computes: float = 0.0
    asked: int = 0

    def run(self, function: str, size: int, seed: int, times: int, *, idle: bool = False) -> Ran:
        self.asked += 1
        spent = (
            0.0 if idle else SECONDS.get(function, 0.002) * self.slower.get(function, self.every)
        )
        return Ran(WIRE + times * spent, seed if function != self.lies else seed + 1)

    def still(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def cpu_seconds(self) -> float:
        return self.computes * self._tick()

    def _tick(self) -> int:
        self.asked += 1
        return self.asked


def contest(exercise: int, mine: Clockwork) -> PartContest:
    return PartContest(7, mine, Clockwork(), part_bounds(exercise))


def verdict(exercise: int, mine: Clockwork) -> timing.WorkloadVerdict:
    return timing.together(
        [timing._calls_verdict(unit) for unit in contest(exercise, mine).decide()]
    )


@pytest.fixture(autouse=True)
def nothing_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)


@pytest.mark.parametrize("exercise", [1, 2, 3, 4, 5])
def test_every_exercise_loses_points_as_its_part_gets_slower_and_all_at_twenty_times(
    exercise: int,
) -> None:
    scores = [verdict(exercise, Clockwork(every=factor)).score for factor in (1, 2, 5, 20)]
    assert scores == sorted(scores, reverse=True)
    assert scores[0] == 1.0 and scores[2] < 1.0 and scores[3] < 0.05
    assert verdict(exercise, Clockwork(every=20)).outcome is Outcome.FAIL


def test_a_medusa_part_of_twice_the_time_loses_visibly() -> None:
    assert 0.5 < verdict(4, Clockwork(every=2)).score < 0.7


def test_the_function_that_loses_the_most_time_is_named_with_its_batch() -> None:
    """Law 4.14 said only how fast the engine was: a sleep in `verify_greedy` did not show."""
    found = verdict(4, Clockwork(slower={"verify_greedy": 31}))
    assert found.outcome is Outcome.FAIL and found.score < 0.2
    size = max(unit.size for unit in contest(4, Clockwork()).decide())
    assert (
        f"`verify_greedy` takes 31x the reference at batch {size} (6,200 µs a call beside 200 µs)"
        in found.message
    )
    assert (
        "`verify_typical` takes 60x the reference"
        in verdict(4, Clockwork(slower={"verify_typical": 60})).message
    )


def test_wire_and_driver_are_nobodys_time() -> None:
    (unit, *_) = contest(4, Clockwork(every=3)).decide()
    assert [call.slowness for call in unit.calls] == pytest.approx([3, 3, 3])
    assert unit.decision.bracket.median == pytest.approx(1 / 3)


def test_another_answer_is_no_answer_and_names_the_function() -> None:
    with pytest.raises(Broken, match="`compact` returned something else than is right") as caught:
        contest(4, Clockwork(lies="compact")).decide()
    assert caught.value.outcome is Outcome.FAIL


def test_who_computes_in_the_references_turn_is_invalid() -> None:
    with pytest.raises(Broken, match="while the reference was timed") as caught:
        contest(4, Clockwork(computes=0.01)).decide()
    assert caught.value.outcome is Outcome.INVALID


def test_a_busy_machine_makes_nobody_slow_but_sleep_counts() -> None:
    before = Reading(0.0, 0.0, 0.0, 0.0, 0)
    assert Reading(0.050, 0.002, 0.040, 0.007, 1).since(before) == pytest.approx(0.003)
    # it slept while we were held up
    assert Reading(0.050, 0.002, 0.010, 0.030, 6).since(before) == pytest.approx(0.040)
    # its own threads kept it waiting
    assert Reading(0.050, 0.045, 0.040, 0.0, 1).since(before) == pytest.approx(0.045)


def test_the_figure_tells_every_functions_microseconds_beside_the_references() -> None:
    units = contest(4, Clockwork(every=2)).decide()
    figures = [timing._calls_figure(unit) for unit in units]
    assert (
        "propose 600 µs (reference 300 µs), verify_greedy 400 µs (reference 200 µs)"
        in figures[0].note
    )
    assert (
        figures[2].name
        == f"propose + verify_greedy + compact at batch {units[2].size}, speed beside the reference"
    )
    assert {unit.bound.size for unit in units} == {1, 16, 64}


def test_at_which_size_calls_are_timed_is_drawn_from_the_seed() -> None:
    """A part that is slow but for the sizes that the laws were known to use got full points."""
    contests = [PartContest(seed, Clockwork(), Clockwork(), part_bounds(4)) for seed in range(12)]
    drawn = [{unit.size for unit in one.decide()} for one in contests]
    assert all(len(sizes) == 3 and 1 in sizes for sizes in drawn)
    assert all(
        any(12 <= size <= 20 for size in sizes) and 48 <= max(sizes) <= 80 for sizes in drawn
    )
    assert len({max(sizes) for sizes in drawn}) > 4


# ---------------------------------------------------------------- the bounds file


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('exercise = 4\ncalls = "pass"\nsize = 3\nfloor = 0.1\nbound = 0.2', "size is 3"),
        ('exercise = 4\ncalls = "steps"\nsize = 1\nfloor = 0.1\nbound = 0.2', "calls is"),
        (
            'exercise = 4\ncalls = "pass"\nsize = 1\nfloor = 0.3\nbound = 0.2',
            "must be below its bound",
        ),
        ('exercise = 4\ncalls = "pass"\nsize = 1\nfloor = 0.1', "lacks bound"),
    ],
)
def test_a_bad_part_bound_is_refused_in_a_sentence(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(f"[[part]]\n{row}\n")
    with pytest.raises(BadBounds, match=said):
        read(path)


def test_an_instructors_part_bounds_replace_those_of_the_exercise(tmp_path: Path) -> None:
    path = tmp_path / "bounds.toml"
    path.write_text(
        '[[part]]\nexercise = 4\ncalls = "typical"\nsize = 16\nfloor = 0.1\nbound = 0.2\n'
    )
    assert [(bound.unit, bound.size) for bound in part_bounds(4, beside=tmp_path)] == [
        ("typical", 16)
    ]
    assert part_bounds(1, beside=tmp_path) == part_bounds(1) != ()
    assert read(path) == () and len(read_parts(path)) == 1


# ---------------------------------------------------------------- the drivers

SLOTS = {1: "block_manager", 2: "scheduler", 3: "prefix_cache", 4: "medusa"}
SOLUTIONS = {
    number: next(Path(__file__).parents[4].glob(f"solutions/ex{number}_*/{slot}.py"))
    for number, slot in SLOTS.items()
}
RIGHT = [
    (number, path) for number in SLOTS for path in sorted((BASES / f"ex{number}").glob("*.py"))
]


def answers(exercise: int, path: Path, seed: int) -> list[int]:
    """The numbers of one question for each function."""
    folder = str(Path(graders.__file__).parent / "sandbox")
    if folder not in sys.path:
        sys.path.append(folder)
    slot = SLOTS[exercise]
    driver = importlib.import_module(f"guest.{slot}_calls")
    spec = importlib.util.spec_from_file_location(f"part_{exercise}_{path.stem}", path)
    assert spec is not None and spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    shop: Any = SimpleNamespace(parts={slot: module})
    part = driver.new(shop, given(exercise), {})
    functions = [function for unit in timed_calls(exercise).values() for function in unit]
    return [driver.call(part, "run", [function, 16, seed, 1, False]) for function in functions]


def given(exercise: int) -> list[Any]:
    from graders.exercises.ex4_medusa.random_cases import tree_of_calls

    return [tree_of_calls(5)] if exercise == 4 else []


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("exercise", "path"), RIGHT, ids=lambda value: getattr(value, "stem", str(value))
)
def test_a_part_of_another_make_gives_the_same_answers(exercise: int, path: Path) -> None:
    assert answers(exercise, path, 3) == answers(exercise, SOLUTIONS[exercise], 3)


@pytest.mark.parametrize(
    ("name", "place"),
    [("guesses_from_row_zero", 0), ("argmax_at_the_node", 1), ("nothing_moves", 2)],
)
def test_a_wrong_part_gives_others(name: str, place: int, tmp_path: Path) -> None:
    wrong, right = answers(4, wrong_part(4, name).write(tmp_path), 3), answers(4, SOLUTIONS[4], 3)
    assert wrong[place] != right[place]
