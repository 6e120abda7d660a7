"""One scheduler under test: a script is played on it in the worker, every deviation is told as a story."""

from __future__ import annotations

from collections.abc import Callable

from graders import wire
from graders.bench import Bench
from graders.ex1_paged_allocation.specification import Deviation
from graders.stage import Stage
from graders.symbolic.engine import Counters, Engine, Failed
from graders.symbolic.script import Script

Heed = Callable[[Engine], bool]


def always(engine: Engine) -> bool:
    return True


def judge(
    bench: Bench, script: Script, *, label: str = "scheduler", conserving: bool = True, heed: Heed = always
) -> Counters:
    """Play the script on the part and whatever surrounds it; raises Broken for what the contract does not allow.

    label: what the story calls the object. heed: whether to raise, given the engine as it was when something broke;
    otherwise the script ends there, and it is another law's affair.
    """
    stage = Stage(bench, "scheduler", label)
    engine = Engine(stage, script, conserving=conserving)
    try:
        engine.judge()
    except Deviation as deviation:
        if not heed(engine):
            return engine.counters
        stage.broken(deviation.message, got=deviation.got, expected=deviation.expected, method=engine.method)
    except Failed as failed:
        if not heed(engine):
            return engine.counters
        stage.method = failed.method
        stage.unexpected(failed.raised, failed.expected)
    except wire.ProtocolError as wrong:
        trouble = wrong
        stage.parsed(lambda: _again(trouble))
    return engine.counters


def _again(trouble: wire.ProtocolError) -> None:
    raise trouble
