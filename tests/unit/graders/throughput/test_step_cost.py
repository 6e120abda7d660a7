"""An engine whose own work costs nothing is charged for it; a quick part is not."""

from __future__ import annotations

import pytest

from graders.registry.parts import part_in
from graders.throughput.step_cost import StepCost, undercharged

THEIRS = [
    StepCost(1, False, 9.0),
    *(StepCost(4, True, seconds) for seconds in (1.0, 1.0, 50.0)),
    StepCost(2, True, 0.5),
]


def steps(*seconds: float, requests: int = 4) -> list[StepCost]:
    return [StepCost(1, False, 0.0), *(StepCost(requests, True, each) for each in seconds)]


@pytest.mark.parametrize(
    ("slot", "share"),
    [("block_manager", 0.03), ("scheduler", 0.11), ("prefix_cache", 0.17), ("medusa", 0.3)],
)
def test_a_part_that_costs_nothing_is_not_charged(slot: str, share: float) -> None:
    assert undercharged(steps(1 - share, 1 - share), THEIRS, part_in(slot).around) == 0.0


def test_an_engine_that_costs_nothing_is_charged_for_steps_like_the_reference_s() -> None:
    assert undercharged(steps(0.0, 0.0), THEIRS, 0.8) == pytest.approx(2 * 0.8)
    assert undercharged(steps(0.0, 5.0), THEIRS, 0.8) == 0.0  # all of them together


def test_steps_that_the_reference_did_not_make_are_compared_with_the_next_smaller_ones() -> None:
    assert undercharged(steps(0.0, requests=3), THEIRS, 0.6) == pytest.approx(0.6 * 0.5)
    assert undercharged(steps(0.0, requests=1), THEIRS, 0.6) == pytest.approx(0.6 * 0.5)
    assert undercharged(steps(0.0), [], 0.6) == 0.0
