"""One scheduler under test: a script is played on it in the worker, every deviation is told as a
story."""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Callable, Iterator

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken, Deviation
from graders.sandbox import protocol
from graders.simulation.engine import IMPORTS, Failed, NoProperty, RunCounters, SimulatedEngine
from graders.simulation.script import EngineMove, EngineScript

Heed = Callable[[SimulatedEngine], bool]


def always(engine: SimulatedEngine) -> bool:
    return True


def judge(
    context: CheckContext,
    script: EngineScript,
    *,
    label: str = "scheduler",
    conserving: bool = True,
    heed: Heed = always,
    more: str = "",
) -> RunCounters:
    """Play the script on the part and whatever surrounds it; raises Broken for what the contract
    does not allow.

    label: what the story calls the object. heed: whether to raise, given the engine as it was when
    something broke; otherwise the script ends there, and it is another law's affair. more: what the
    message ends with, whatever breaks.
    """
    telling = SchedulerJudge(context, script, label, conserving, heed, more)
    telling.judge()
    return telling.counters


class SchedulerJudge:
    """A script as it is played on the part, and the counters of that; see `judge`, and
    `graders.checking.failure.Replayable`."""

    def __init__(
        self,
        context: CheckContext,
        script: EngineScript,
        label: str,
        conserving: bool,
        heed: Heed,
        more: str = "",
    ) -> None:
        self.counters = RunCounters()
        self._context = context
        self._script = script
        self._label = label
        self._conserving = conserving
        self._heed = heed
        self._more = more
        self._played = 0
        self._drained: list[str] = []

    def judge(self) -> None:
        """Raise Broken for what the contract does not allow."""
        recorder = CallRecorder(self._context, "scheduler", self._label, IMPORTS)
        engine = SimulatedEngine(recorder, self._script, conserving=self._conserving)
        try:
            self._judge(recorder, engine)
        except Broken as broken:
            broken.trace = self
            broken.message += self._more
            raise
        finally:
            self.counters, self._played, self._drained = (
                engine.counters,
                engine.played,
                engine.drained,
            )

    def replay(self) -> None:
        """See `graders.checking.failure.Replayable`."""
        script = copy.copy(self._script)
        script.moves = script.moves[: self._played]
        if script.moves and script.moves[-1].method == "drain":
            del script.moves[-1]
            for method in self._drained:
                script.moves.append(EngineMove(method))
        with contextlib.suppress(Broken):
            self._of(script).judge()

    def shorter(self) -> Iterator[SchedulerJudge]:
        """The moves that were played without one of them; then with a token less for somebody."""
        for script in self._script.shorter(self._played):
            yield self._of(script)

    def _of(self, script: EngineScript) -> SchedulerJudge:
        return SchedulerJudge(
            self._context, script, self._label, self._conserving, self._heed, self._more
        )

    def _judge(self, recorder: CallRecorder, engine: SimulatedEngine) -> None:
        try:
            engine.judge()
        except Deviation as deviation:
            if self._heed(engine):
                recorder.deviates(deviation, engine.method)
        except Failed as failed:
            if self._heed(engine):
                recorder.method = failed.method
                recorder.unexpected(failed.raised, failed.expected)
        except NoProperty as other:
            recorder.no_property(other.name, other.value)
        except protocol.ProtocolError as wrong:
            trouble = wrong
            recorder.parsed(lambda: _again(trouble))


def _again(trouble: protocol.ProtocolError) -> None:
    raise trouble
