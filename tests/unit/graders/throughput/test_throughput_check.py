"""The timed law on this machine, end to end: solutions meet their bounds, naive and slow parts miss
them."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.targets import naive_file, solution_file
from graders import grade
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome

pytestmark = pytest.mark.slow

SPIN = """


import time as _time


def _spin(seconds):
    until = _time.perf_counter() + seconds
    while _time.perf_counter() < until:
        pass
"""
SLOW = {
    1: """
class _Quick(BlockManager):
    pass


class BlockManager(_Quick):
    def extend(self, seq, num_tokens):
        _spin(0.0005)
        return super().extend(seq, num_tokens)
""",
    2: """
class _Quick(Scheduler):
    pass


class Scheduler(_Quick):
    def plan(self):
        _spin(0.005)
        return super().plan()
""",
    3: """
class _Quick(PrefixCache):
    pass


class PrefixCache(_Quick):
    def match(self, tokens, namespace=None):
        _spin(0.03)
        return super().match(tokens, namespace)
""",
    4: """
_quick = verify_greedy


def verify_greedy(tree, tokens, argmax):
    _spin(0.01)
    return _quick(tree, tokens, argmax)
""",
}
"""Appended to the solutions: right, only slow."""
NAP = """
import time as _time
_quick = verify_greedy


def verify_greedy(tree, tokens, argmax):
    _time.sleep(0.002)
    return _quick(tree, tokens, argmax)
"""
USELESS = """
def verify_greedy(tree, tokens, argmax):
    nodes = torch.full((len(tokens), int(tree.depth.max()) + 1), -1, dtype=torch.int64)
    nodes[:, 0] = 0
    return Verdict(torch.zeros(len(tokens), dtype=torch.int64), nodes, argmax[:, 0].clone())
"""
"""The right text, and no guess is ever believed."""


def timed(exercise: int, path: Path) -> LawResult:
    law = catalogue(exercise).laws[-1]
    result = grade(exercise, path, only=[law.number])
    assert not result.problem
    return result.laws[0]


@pytest.mark.parametrize("exercise", [1, 2, 3, 4])
def test_the_solution_meets_its_bounds(exercise: int) -> None:
    law = timed(exercise, solution_file(catalogue(exercise)))
    assert (law.outcome, law.points) == (Outcome.PASS, 20), law.message


@pytest.mark.parametrize("exercise", [1, 2, 3])
def test_the_naive_part_misses_them(exercise: int) -> None:
    law = timed(exercise, naive_file(catalogue(exercise)))
    assert law.outcome is Outcome.FAIL and "times as fast as" in law.message, law.message
    assert law.points < 20


@pytest.mark.parametrize("exercise", [1, 2, 3, 4])
def test_a_right_part_that_is_slow_misses_them(exercise: int, tmp_path: Path) -> None:
    entry = catalogue(exercise)
    path = tmp_path / entry.file_name
    path.write_text(solution_file(entry).read_text() + SPIN + SLOW[exercise])
    law = timed(exercise, path)
    assert law.outcome is Outcome.FAIL and law.points < 20, law.message


def test_guesses_that_are_never_believed_are_not_worth_their_while(tmp_path: Path) -> None:
    path = tmp_path / "medusa.py"
    path.write_text(solution_file(catalogue(4)).read_text() + "\n" + USELESS)
    law = timed(4, path)
    assert law.outcome is Outcome.FAIL and "times as fast as" in law.message, law.message


def test_a_sleep_and_a_print_in_verify_greedy_lose_points_and_are_named(tmp_path: Path) -> None:
    """Both had all of them: a pass of the larger model takes so long that the engine hardly
    noticed."""
    source, loop = (
        solution_file(catalogue(4)).read_text(),
        "    for node in range(1, len(parent)):\n",
    )
    assert source.count(loop) == 1
    for name, text in (
        ("nap", source + NAP),
        ("prints", source.replace(loop, f"{loop}        print(node)\n")),
    ):
        path = tmp_path / f"{name}.py"
        path.write_text(text)
        law = timed(4, path)
        assert law.outcome is Outcome.FAIL and law.points <= 16, law.message
        assert "`verify_greedy` takes" in law.message


def test_loops_over_the_elements_of_tensors_have_less_than_whole_tensors() -> None:
    right = Path(__file__).parents[3] / "bases" / "ex4"
    loops, whole = (timed(4, right / f"{name}.py") for name in ("path_loop", "all_at_once"))
    assert loops.points < 10 < 18 < whole.points, (loops.message, whole.message)
