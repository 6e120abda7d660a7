"""Schedulers that nobody could be served by: the constructor has to refuse them."""

from __future__ import annotations

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Together
from graders.simulation.engine import IMPORTS, code, sent, written
from graders.simulation.scheduler_rules import EngineSetting

IMPOSSIBLE = (
    (EngineSetting(token_budget=0), "a budget of 0 computes nothing"),
    (EngineSetting(token_budget=2, lookahead=2), "token_budget is below 1 + lookahead"),
    (EngineSetting(max_seqs=0), "max_seqs is below 1"),
    (EngineSetting(chunk=0), "chunk is below 1"),
)


def impossible_schedulers(context: CheckContext) -> None:
    """The constructor must raise ValueError for each; and must not for the least that is possible."""
    together = Together()
    for setting, why in IMPOSSIBLE:
        with together.case():
            _refused(context, setting, why)
    together.tell()
    recorder = CallRecorder(context, "scheduler", "scheduler", IMPORTS)
    least = EngineSetting(token_budget=3, lookahead=2, max_seqs=1, chunk=1)
    raised = recorder.new([sent(least)], {}, written(least), code(least))
    if raised:
        recorder.unexpected(raised, "a scheduler")


def _refused(context: CheckContext, setting: EngineSetting, why: str) -> None:
    recorder = CallRecorder(context, "scheduler", "scheduler", IMPORTS)
    raised = recorder.new([sent(setting)], {}, written(setting), code(setting))
    if raised and "ValueError" in raised.kinds:
        return
    if raised:
        recorder.unexpected(raised, "raises ValueError")
    message = f"The constructor must raise ValueError: {why}."
    recorder.broken(message, got="a scheduler", expected="raises ValueError", method="__init__")
