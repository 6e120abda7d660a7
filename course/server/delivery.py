"""When the tokens of an answer are told: at once while few are served; a few at a time where every event counts.

An event for every token of 64 answers costs as much as the engine that says them. Nobody reads that fast: with a crowd
the tokens of a stream wait for each other for hundredths of a second (vLLM and SGLang call it the stream interval).
The first tokens, the last, those with scores, and those of whoever set stop strings do not wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from course.server.question import Question
from reference_engine.engine import Event

CROWD = 32
"""Answers at once from which on streams wait."""
INTERVAL = 0.03
"""Seconds between two events of a stream then."""
UNSTREAMED = 0.1
"""Seconds between two tellings of an answer that is sent whole."""


@dataclass(slots=True)
class _Open:
    """An answer: whose, when it was last told of, and what has been said since."""

    question: Question
    told: float
    held: Event | None = None


class Delivery:
    """Holds back what can wait. Ids are those of the engine; times are seconds, `time.perf_counter`."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def begin(self, id: int, question: Question) -> None:
        """An answer that will come."""
        self._open[id] = _Open(question, told=float("-inf"))

    def forget(self, id: int) -> None:
        """It is over, however it ended; what was held of it is lost."""
        self._open.pop(id, None)

    def take(self, event: Event, now: float) -> Event | None:
        """What is to be told of an answer that has said more; None: nothing yet."""
        answer = self._open[event.id]
        event, answer.held = _joined(answer.held, event), None
        if not event.finished and now - answer.told < self._pause(answer.question):
            answer.held = event
            return None
        answer.told = now
        return event

    def due(self, now: float) -> Iterator[Event]:
        """What has waited long enough, of answers that say nothing more for the moment."""
        for answer in self._open.values():
            if answer.held is not None and now - answer.told >= self._pause(answer.question):
                held, answer.held, answer.told = answer.held, None, now
                yield held

    def all(self) -> Iterator[Event]:
        """Everything that is held."""
        for answer in self._open.values():
            if answer.held is not None:
                held, answer.held = answer.held, None
                yield held

    def _pause(self, question: Question) -> float:
        if question.stops or question.sampling.scores is not None:
            return 0.0
        if not question.stream:
            return UNSTREAMED
        return INTERVAL if len(self._open) >= CROWD else 0.0


def _joined(held: Event | None, event: Event) -> Event:
    return event if held is None else replace(event, tokens=held.tokens + event.tokens)
