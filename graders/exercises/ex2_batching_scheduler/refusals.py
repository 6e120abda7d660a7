"""Schedulers that nobody could be served by: the constructor has to refuse them."""

from __future__ import annotations

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.simulation.engine import sent, written
from graders.simulation.scheduler_rules import EngineSetting

IMPOSSIBLE = (
    (EngineSetting(token_budget=0), "a budget of 0 computes nothing"),
    (EngineSetting(token_budget=2, lookahead=2), "token_budget is below 1 + lookahead"),
    (EngineSetting(max_seqs=0), "max_seqs is below 1"),
    (EngineSetting(chunk=0), "chunk is below 1"),
)


def impossible_schedulers(context: CheckContext) -> None:
    """The constructor must raise ValueError for each; and must not for the least that is possible."""
    for setting, why in IMPOSSIBLE:
        _refused(context, setting, why)
    recorder = CallRecorder(context, "scheduler", "scheduler")
    least = EngineSetting(token_budget=3, lookahead=2, max_seqs=1, chunk=1)
    raised = recorder.new([sent(least)], {}, written(least))
    if raised:
        recorder.unexpected(raised, "a scheduler")


def _refused(context: CheckContext, setting: EngineSetting, why: str) -> None:
    recorder = CallRecorder(context, "scheduler", "scheduler")
    raised = recorder.new([sent(setting)], {}, written(setting))
    if raised and "ValueError" in raised.kinds:
        return
    if raised:
        recorder.unexpected(raised, "raises ValueError")
    message = f"The constructor must raise ValueError: {why}."
    recorder.broken(message, got="a scheduler", expected="raises ValueError", method="__init__")
