"""Where triton is not installed exercise 7 is not graded, and says why."""

from __future__ import annotations

from pathlib import Path

import pytest

import graders.grading
from graders import grade
from graders.result import Outcome


def test_without_triton_nobody_is_judged_and_one_sentence_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graders.grading.importlib.util, "find_spec", lambda name: None)
    result = grade(7, Path("solutions/ex7_paged_attention/paged_attention.py"), seed=1)
    assert {law.outcome for law in result.laws} == {Outcome.UNGRADED}
    assert result.problem.startswith(
        "Not graded: triton is not installed here (pip install triton)"
    )
