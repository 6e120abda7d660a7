"""When the tokens of an answer are told: at once while few are served; a few at a time where every
event counts.

An event for every token of 64 answers costs as much as the engine that says them. Nobody reads that
fast: with a crowd the tokens of a stream wait for each other for hundredths of a second (vLLM and
SGLang call it the stream interval). The first tokens, the last, those with scores, and those of
whoever set stop strings do not wait.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from course.server.question import Question
from reference_engine.engine import Event

CROWD = 32
"""Answers at once from which on streams wait."""
INTERVAL = 0.05
"""Seconds between two events of a stream then."""
UNSTREAMED = 0.1
"""Seconds between two tellings of an answer that is sent whole."""


@dataclass(slots=True)
class _Open:
    """An answer: when it was last told of, and what has been said since. pause: seconds between two
    tellings at least. crowded: only among a crowd."""

    told: float
    pause: float
    crowded: bool
    held: Event | None = None


class Delivery:
    """Holds back what can wait. Ids are those of the engine; times are seconds,
    `time.perf_counter`."""

    def __init__(self) -> None:
        self._open: dict[int, _Open] = {}

    def begin(self, id: int, question: Question) -> None:
        """An answer that will come."""
        waits = not question.stops and question.sampling.scores is None
        pause = 0.0 if not waits else INTERVAL if question.stream else UNSTREAMED
        self._open[id] = _Open(float("-inf"), pause, waits and question.stream)

    def forget(self, id: int) -> None:
        """It is over, however it ended; what was held of it is lost."""
        self._open.pop(id, None)

    def take(self, event: Event, now: float) -> Event | None:
        """What is to be told of an answer that has said more; None: nothing yet."""
        answer = self._open[event.id]
        if answer.held is not None:
            event = Event(event.id, answer.held.tokens + event.tokens, event.finished, event.scores)
            answer.held = None
        if not event.finished and self._waits(answer, now):
            answer.held = event
            return None
        answer.told = now
        return event

    def due(self, now: float) -> Iterator[Event]:
        """What has waited long enough, of answers that say nothing more for the moment."""
        for answer in self._open.values():
            if answer.held is not None and not self._waits(answer, now):
                held, answer.held, answer.told = answer.held, None, now
                yield held

    def all(self) -> Iterator[Event]:
        """Everything that is held."""
        for answer in self._open.values():
            if answer.held is not None:
                held, answer.held = answer.held, None
                yield held

    def _waits(self, answer: _Open, now: float) -> bool:
        return now - answer.told < answer.pause and (not answer.crowded or len(self._open) >= CROWD)
