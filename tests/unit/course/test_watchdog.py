"""A part that runs in this process and does not come back is told so; one that is slow is left
alone."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from course import watchdog

MINE = "/desk/scheduler.py"
COMPUTING = """
def plan(rounds, work):
    while rounds:
        work()
        rounds -= 1
"""


@pytest.fixture
def plan(monkeypatch: pytest.MonkeyPatch) -> Callable[[int, Callable[[], None]], None]:
    """A function of a part's file that calls something so many times; the limit is short."""
    monkeypatch.setattr(watchdog, "STALL_SECONDS", 0.05)
    names: dict[str, Callable[[int, Callable[[], None]], None]] = {}
    exec(compile(COMPUTING, MINE, "exec"), names)
    return names["plan"]


def test_a_part_that_never_comes_back_is_interrupted(plan: Callable[..., None]) -> None:
    with (
        pytest.raises(watchdog.NoAnswerInTime, match="an endless loop"),
        watchdog.stall_limit(lambda: 3, [MINE]),
    ):
        plan(-1, lambda: None)


def test_steps_that_go_on_are_no_stall(plan: Callable[..., None]) -> None:
    steps = [0]

    def work() -> None:
        steps[0] += 1
        sum(range(20_000))

    with watchdog.stall_limit(lambda: steps[0], [MINE]):
        plan(600, work)


def test_the_model_may_compute_as_long_as_it_likes(plan: Callable[..., None]) -> None:
    with watchdog.stall_limit(lambda: 3, ["/desk/other.py"]):
        plan(300, lambda: sum(range(20_000)))
