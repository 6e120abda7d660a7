"""Schedulers that nobody could be served by: the constructor has to refuse them."""

from __future__ import annotations

from graders.checking.check_context import Bench
from graders.checking.call_recorder import Stage
from graders.simulation.engine import sent, written
from graders.simulation.scheduler_rules import Setting

IMPOSSIBLE = (
    (Setting(token_budget=0), "a budget of 0 computes nothing"),
    (Setting(token_budget=2, lookahead=2), "token_budget is below 1 + lookahead"),
    (Setting(max_seqs=0), "max_seqs is below 1"),
    (Setting(chunk=0), "chunk is below 1"),
)


def impossible_schedulers(bench: Bench) -> None:
    """The constructor must raise ValueError for each; and must not for the least that is possible."""
    for setting, why in IMPOSSIBLE:
        _refused(bench, setting, why)
    stage = Stage(bench, "scheduler", "scheduler")
    least = Setting(token_budget=3, lookahead=2, max_seqs=1, chunk=1)
    raised = stage.new([sent(least)], {}, written(least))
    if raised:
        stage.unexpected(raised, "a scheduler")


def _refused(bench: Bench, setting: Setting, why: str) -> None:
    stage = Stage(bench, "scheduler", "scheduler")
    raised = stage.new([sent(setting)], {}, written(setting))
    if raised and "ValueError" in raised.kinds:
        return
    if raised:
        stage.unexpected(raised, "raises ValueError")
    message = f"The constructor must raise ValueError: {why}."
    stage.broken(message, got="a scheduler", expected="raises ValueError", method="__init__")
