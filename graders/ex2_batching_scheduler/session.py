"""One scheduler under test: a script is played on it in the worker, every deviation is told as a story."""

from __future__ import annotations

from graders import wire
from graders.bench import Bench
from graders.ex1_paged_allocation.specification import Deviation
from graders.stage import Stage
from graders.symbolic.engine import Counters, Engine, Failed
from graders.symbolic.script import Script


def judge(bench: Bench, script: Script, *, label: str = "scheduler", conserving: bool = True) -> Counters:
    """Play the script on the part and whatever surrounds it; raises Broken for what the contract does not allow.

    label: what the story calls the object.
    """
    stage = Stage(bench, "scheduler", label)
    engine = Engine(stage, script, conserving=conserving)
    try:
        engine.judge()
    except Deviation as deviation:
        stage.broken(deviation.message, got=deviation.got, expected=deviation.expected, method=engine.method)
    except Failed as failed:
        stage.method = failed.method
        stage.unexpected(failed.raised, failed.expected)
    except wire.ProtocolError as wrong:
        trouble = wrong
        stage.parsed(lambda: _again(trouble))
    return engine.counters


def _again(trouble: wire.ProtocolError) -> None:
    raise trouble
