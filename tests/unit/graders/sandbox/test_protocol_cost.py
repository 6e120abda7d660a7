"""What the wire costs: both ways, with all that is checked on it, against what is timed across it."""

from __future__ import annotations

import costs
import pytest


@pytest.mark.slow
def test_the_wire_adds_less_than_five_percent_to_a_timed_run() -> None:
    assert costs.wire().share < 0.05
