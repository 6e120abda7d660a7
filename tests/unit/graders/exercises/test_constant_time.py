"""Law 1.10 without a clock: what it makes of a small pool that was measured too dear."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from graders.checking.complexity import Cost
from graders.checking.failure import Broken
from graders.exercises.ex1_paged_allocation import constant_time
from graders.exercises.ex1_paged_allocation.constant_time import PROPORTION, SMALL, Plan, Pool

PLAN, LOOP = Plan.draw(3), "fork, free of a long table"


def pools(square: float, disturbed: int) -> type:
    """Pools of which one loop costs `square` times more than in proportion on the large one.
    disturbed: so many measurements of the small pool, from the first, cost three times as much."""
    asked = [0]

    class Told:
        WAYS = Pool.WAYS
        of_the_long_sequence = frozenset({LOOP})

        def __init__(self, context: Any, plan: Plan, num_blocks: int, state: str) -> None:
            self.num_blocks = num_blocks

        def fill(self) -> None:
            pass

        def copies_the_right_block(self) -> None:
            pass

        def loops(self, how: str) -> list[str]:
            return [LOOP] if how == "timed in proportion" else []

        def costs(self, how: str, loop: str) -> list[tuple[str, Cost]]:
            times = square if self.num_blocks == PLAN.large else 1.0
            if self.num_blocks == PLAN.small:
                asked[0] += 1
                times = 3.0 if asked[0] <= disturbed else 1.0
            return [(loop, Cost(self.num_blocks, self.num_blocks * times, "µs"))]

    return Told


@pytest.mark.parametrize(
    ("square", "broken"), [(2 * PROPORTION["large"], True), (0.9 * PROPORTION["large"], False)]
)
@pytest.mark.parametrize("disturbed", [0, SMALL + 1, SMALL + 3])
def test_a_small_pool_that_was_measured_too_dear_hides_nothing(
    square: float, broken: bool, disturbed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constant_time, "Pool", pools(square, disturbed))
    context: Any = SimpleNamespace(
        cases=0, submission=SimpleNamespace(name="block_manager.py", lines=())
    )
    comparison = constant_time._Comparison(context, PLAN, constant_time.USED)
    monkeypatch.setattr(
        comparison, "_grows", lambda growth, _: (_ for _ in ()).throw(Broken("it grows"))
    )
    if broken:
        with pytest.raises(Broken):
            comparison.judge()
    else:
        comparison.judge()
