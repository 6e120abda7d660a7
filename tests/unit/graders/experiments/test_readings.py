"""What is read off results: floors, gaps, break-even."""

from __future__ import annotations

import pytest
from made_up_labs import lab1, lab4

from graders.experiments.readings import break_even, ceilings, floor, gaps, speed_ups
from graders.experiments.results import Finished, Measurement


def test_the_highest_ceilings_that_anybody_showed_count() -> None:
    results = lab1()
    model = next(iter(results.setup.models))
    higher = Measurement("ceilings", model, 0.0, facts={"peak": 5e9, "bandwidth": 4e9})
    found = ceilings(results.but("more", Finished((higher,))), model)
    assert found is not None and (found.peak, found.bandwidth) == (1e10, 4e9)
    assert ceilings(results, "another") is None


def test_a_floor_is_the_longer_of_arithmetic_and_memory() -> None:
    results = lab1()
    point = results.of("decode")[0]
    assert floor(results, point) == pytest.approx(1e-3)  # a megabyte at a gigabyte a second
    assert floor(results, Measurement("decode", "another", 1.0, (1.0,))) == 0.0


def test_what_lies_between_floor_and_measurement_is_named() -> None:
    told = "\n".join(gaps(lab1()))
    assert "2.00 ms = floor 1.00 ms + overhead 1.00 ms, noise 0.20 ms; 2.0 times the floor" in told


def test_break_even_lies_between_a_gain_and_a_loss() -> None:
    points = speed_ups(lab4(), "waiter")["medusa"]
    even = break_even(points)
    assert even is not None and 16 < even < 64
    assert break_even([(1.0, 2.0), (64.0, 1.1)]) is None
    assert break_even([(1.0, 0.9), (64.0, 0.5)]) is None  # it never gained
