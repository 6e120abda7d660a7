"""A worker that waits for the next run: used once, as isolated as any, and nobody's fault when it
is gone."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

import pytest

import graders.grading
import solutions
from graders import grade
from graders.grading import prestart
from graders.registry.catalogue import catalogue
from graders.result import Outcome
from graders.sandbox.isolation import MachineFault

EXERCISE = catalogue(1)
SOLUTION = Path(solutions.__path__[0], EXERCISE.slug, EXERCISE.file_name)


def test_a_worker_that_waits_is_used_once_and_as_isolated_as_one_that_is_started_then() -> None:
    ready = prestart(1)
    held = grade(1, SOLUTION, seed=1, only=["1.1"], ready=ready)
    with pytest.raises(MachineFault):
        ready.take()
    assert held.passed
    again = grade(1, SOLUTION, seed=1, only=["1.1"], ready=ready)  # used up: another is started
    assert again.passed
    assert again.isolation == held.isolation


def test_a_run_that_ends_at_the_first_broken_law_holds_no_others(tmp_path: Path) -> None:
    part = tmp_path / EXERCISE.file_name
    part.write_text(
        SOLUTION.read_text(encoding="utf-8").replace("length % self._block_size", "True"),
        encoding="utf-8",
    )
    numbers = [law.number for law in EXERCISE.laws[:6]]
    result = grade(1, part, seed=1, only=numbers, until_broken=True)
    broken = [law.number for law in result.laws if law.outcome is Outcome.FAIL]
    assert broken == [result.laws[-1].number]
    assert len(result.laws) < len(numbers)


def test_what_a_law_takes_long_to_import_is_imported_beside_the_worker_that_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "takes_long.py").write_text("")
    monkeypatch.syspath_prepend(str(tmp_path))
    laws = (dataclasses.replace(EXERCISE.laws[0], imports="takes_long", check=lambda _: None),)
    monkeypatch.setattr(
        graders.grading, "catalogue", lambda _: dataclasses.replace(EXERCISE, laws=laws)
    )
    assert grade(1, SOLUTION).passed
    assert sys.modules.pop("takes_long")
