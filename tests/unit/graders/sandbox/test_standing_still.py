"""A grader that was stopped together with its worker, as a cluster suspends a job or a container is
frozen, blames nobody."""

from __future__ import annotations

import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import graders.sandbox.worker
import solutions
from graders import grade
from graders.checking.allowance import Allowance
from graders.sandbox.worker import Worker

SOLUTION = Path(solutions.__path__[0], "ex1_paged_allocation", "block_manager.py")
STOPPED = 100.0  # seconds: longer than any patience


@pytest.fixture
def stopped_at_every_question(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The clock goes on while the grader waits for an answer, and neither process runs: at every
    question, or at every so many."""
    state = SimpleNamespace(gone=0.0, times=0, every=1)
    monkeypatch.setattr(
        graders.sandbox.worker,
        "time",
        SimpleNamespace(monotonic=lambda: time.monotonic() + state.gone),
    )
    awaited = Worker._awaited

    def interrupted(worker: Worker) -> dict[str, Any] | None:
        state.times += 1
        state.gone += 0.0 if state.times % state.every else STOPPED
        return awaited(worker)

    monkeypatch.setattr(Worker, "_awaited", interrupted)
    return state


def test_a_right_part_passes(stopped_at_every_question: SimpleNamespace) -> None:
    result = grade(1, SOLUTION, seed=3, only=["1.1", "1.2"])
    assert [law.outcome.name for law in result.laws] == ["PASS", "PASS"]
    assert stopped_at_every_question.times > 20


def test_a_sleeping_part_is_found_out_all_the_same(
    stopped_at_every_question: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLEEPING", "UNTOLD"):
        monkeypatch.setattr(graders.sandbox.worker, name, 1.0)
    stopped_at_every_question.every = 3
    part = tmp_path / "block_manager.py"
    head = "        if seq in self._tables"
    text = SOLUTION.read_text(encoding="utf-8")
    assert head in text
    part.write_text(
        text.replace(head, f"        __import__('time').sleep(0.2)\n{head}"), encoding="utf-8"
    )
    (law,) = grade(1, part, seed=3, only=["1.1"]).laws
    assert law.outcome.name == "TIMEOUT"
    assert "sleeps" in law.message


def test_an_allowance_is_not_spent_meanwhile(stopped_at_every_question: SimpleNamespace) -> None:
    with Worker() as worker:
        allowance = Allowance(50.0)
        with allowance.spending(worker.clock):
            worker.ask("still", on=True)
        assert not allowance.spent
