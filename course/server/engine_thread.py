"""The one thread that runs the engine. Requests go to it by a queue; what they say comes back to
the event loop.

When a part breaks, or does not come back, everybody who is being served is told so, and an engine
of fresh parts serves whoever comes after.
"""

from __future__ import annotations

import asyncio
import ctypes
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TypeVar

from course.server.api_error import broken_part
from course.server.delivery import Delivery
from course.server.mailbox import Mailbox
from course.server.question import Question
from course.server.trace_feed import TraceFeed
from course.watchdog import STALL_SECONDS, NoAnswerInTime, called
from reference_engine.engine import Engine, Event
from reference_engine.metrics import Load, Metrics
from reference_engine.parts import PartError
from reference_engine.sampler import TokenScores

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Said:
    """Tokens of one answer, by its place among those of the question. at: seconds,
    `time.perf_counter`."""

    place: int
    tokens: tuple[int, ...]
    finished: bool
    scores: TokenScores | None
    at: float


@dataclass(frozen=True, slots=True)
class Failed:
    """No more comes. status: 400 for what the engine refuses, 500 for a broken part."""

    status: int
    sentence: str


@dataclass(eq=False, slots=True)
class Ticket:
    """A question that is being served, and what it was told. asked: seconds, `time.perf_counter`."""

    question: Question
    asked: float = field(default_factory=time.perf_counter)
    told: Mailbox[Said | Failed] = field(default_factory=Mailbox)


class EngineThread:
    """Owns an engine. Every method may be called from the event loop, and none waits.

    make: a new engine; called in the thread. files: those of parts that may not come back.
    complain: is given every `PartError`, in the thread. stall: seconds that a part may take for one
    step.

    failure: the sentence of the part that broke last, "" once another answer is complete. failures:
    how many broke. unfinished: answers that are due. load: after the last step. feed: its records,
    while somebody watches. lost: the thread does not come back.
    """

    def __init__(
        self,
        make: Callable[[], Engine],
        *,
        files: Collection[str] = (),
        complain: Callable[[PartError], None] = lambda error: None,
        stall: float = STALL_SECONDS,
    ) -> None:
        self._make, self._files, self._complain, self.stall = make, files, complain, stall
        self._engine = make()
        self._orders: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._open: dict[int, tuple[Ticket, int]] = {}
        self._delivery = Delivery()
        self._tickets: set[Ticket] = set()  # of the event loop
        self._steps, self._stepping, self._seen = 0, False, (-1, 0.0)
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        self._past = Metrics()
        self._ended = self.lost = False
        self.failures = self.unfinished = 0
        self.failure = ""
        self.load = Load(0, 0, 0.0)
        self.feed = TraceFeed()

    # ---------------------------------------------------------------- called from the event loop

    def start(self) -> None:
        """Begin to serve, telling what is said to the event loop that runs now."""
        self._loop = asyncio.get_running_loop()
        self._thread.start()

    def stop(self) -> None:
        """Serve no more. The thread ends after the step that it is in."""
        self._orders.put(self._end)

    @property
    def engine(self) -> Engine:
        """The engine of this moment: its numbers may be read, everything else belongs to the
        thread."""
        return self._engine

    def total(self, name: str) -> int:
        """A counter of `Metrics`, over all engines since the server started."""
        return int(getattr(self._past, name) + getattr(self._engine.metrics, name))

    def ask(self, question: Question) -> Ticket:
        """Queue a question."""
        ticket = Ticket(question)
        self._tickets.add(ticket)
        self.unfinished += question.samples
        if self.lost:
            ticket.told.put(Failed(500, self.failure))
        else:
            self._orders.put(lambda: self._add(ticket))
        return ticket

    def leave(self, ticket: Ticket, *, complete: bool) -> None:
        """Nobody listens to a ticket any more; unless it is complete, the rest is aborted before
        the next step."""
        self._tickets.remove(ticket)
        self.unfinished -= ticket.question.samples
        if not complete:
            self._orders.put(lambda: self._abort(ticket, None))

    def stop_answer(self, ticket: Ticket, place: int) -> None:
        """One answer of a ticket is complete, whatever the engine thinks."""
        self._orders.put(lambda: self._abort(ticket, place))

    def look(self) -> None:
        """To be called now and then: a part that computes for too long is interrupted, or given up."""
        now = time.perf_counter()
        if not self._stepping or self._steps != self._seen[0]:
            self._seen = (self._steps, now)
        elif now - self._seen[1] > 2 * self.stall:
            self._give_up()
        elif now - self._seen[1] > self.stall:
            self._interrupt()

    def _interrupt(self) -> None:
        """Raise NoAnswerInTime in the thread, if it is a part that it is in."""
        name, seconds = "", self.stall
        if self._thread.ident is not None:
            name = called(sys._current_frames().get(self._thread.ident), self._files)
        if not name:
            return

        class Stalled(NoAnswerInTime):
            def __str__(self) -> str:
                return f"`{name}` did not come back (waited {seconds:.0f} s): an endless loop?"

        ctypes.pythonapi.PyThreadState_SetAsyncExc(
            ctypes.c_ulong(self._thread.ident or 0), ctypes.py_object(Stalled)
        )

    def _give_up(self) -> None:
        """The thread cannot be had back: whoever waits is told."""
        if not self.lost:
            self.lost = True
            self.failure = f"a part did not come back (waited {2 * self.stall:.0f} s); the server has to be restarted"
            for ticket in self._tickets:
                ticket.told.put(Failed(500, self.failure))

    # ---------------------------------------------------------------- in the thread

    def _run(self) -> None:
        while not self._ended:
            try:
                self._turn()
            except PartError as error:
                self._begin_anew(error)
            except Exception as error:  # a fault of ours; the thread has to go on all the same
                step = self._engine.metrics.steps
                self._begin_anew(PartError("engine", f"{type(error).__name__}: {error}", step))

    def _turn(self) -> None:
        """Carry out what was ordered, waiting for an order while there is nothing to do; then one
        step."""
        try:
            while not self._ended:
                with self._at_work(self._orders.get(block=not self._open)) as order:
                    order()
        except Empty:
            with self._at_work(self._engine) as engine:
                engine.keep_trace = self.feed.watchers > 0
                events = engine.step()
                self.load = engine.load()  # before anybody hears of it
                self._hand_out(events)
                self.feed.take(engine.trace)

    @contextmanager
    def _at_work(self, what: T) -> Iterator[T]:
        """Inside, parts are called: `look` looks whether they come back."""
        self._stepping = True
        try:
            yield what
        finally:
            self._stepping = False
            self._steps += 1

    def _end(self) -> None:
        self._ended = True

    def _add(self, ticket: Ticket) -> None:
        asked, place = ticket.question, 0
        try:
            for prompt in asked.prompts:
                first = self._engine.add(
                    prompt,
                    asked.max_new,
                    asked.sampling,
                    eos=asked.eos,
                    priority=asked.priority,
                    n=asked.n,
                )
                for id in range(first, first + asked.n):
                    self._open[id] = ticket, place
                    self._delivery.begin(id, asked)
                    place += 1
        except ValueError as error:
            self._abort(ticket, None)
            self._tell([(ticket, Failed(400, f"{error}."))])
        except PartError as error:
            self._begin_anew(error, ticket)

    def _abort(self, ticket: Ticket, place: int | None) -> None:
        for id in [
            id for id, mine in self._open.items() if mine[0] is ticket and place in (None, mine[1])
        ]:
            del self._open[id]
            self._delivery.forget(id)
            self._engine.abort(id)
            self.load = self._engine.load()

    def _hand_out(self, events: Sequence[Event]) -> None:
        now = time.perf_counter()
        taken = [self._delivery.take(event, now) for event in events if event.id in self._open]
        self._pass_on(
            [*(event for event in taken if event is not None), *self._delivery.due(now)], now
        )

    def _pass_on(self, events: Sequence[Event], now: float) -> None:
        batch = list[tuple[Ticket, Said | Failed]]()
        for event in events:
            ticket, place = self._open[event.id]
            batch.append((ticket, Said(place, event.tokens, event.finished, event.scores, now)))
            if event.finished:
                del self._open[event.id]
                self._delivery.forget(event.id)
                self.failure = ""  # the engine of now serves
        if batch:
            self._tell(batch)

    def _begin_anew(self, error: PartError, *more: Ticket) -> None:
        """Tell everybody who is being served what happened, and make a new engine."""
        self._complain(error)
        self.failures += 1
        self.failure = broken_part(error)
        self._pass_on([*self._delivery.all()], time.perf_counter())
        served = {ticket for ticket, _ in self._open.values()} | set(more)
        self._open.clear()
        self._delivery = Delivery()
        self._tell([(ticket, Failed(500, self.failure)) for ticket in served])
        self._past = Metrics(**{name: self.total(name) for name in Metrics.__slots__})
        self._engine.metrics = Metrics()
        try:
            self._engine = self._make()
        except PartError as again:
            self._complain(again)
            self.failure = broken_part(again)
        self.feed.restart()

    def _tell(self, batch: Sequence[tuple[Ticket, Said | Failed]]) -> None:
        def hand_out() -> None:
            for ticket, what in batch:
                ticket.told.put(what)

        try:
            self._loop.call_soon_threadsafe(hand_out)
        except RuntimeError:  # the loop is closed: nobody listens
            self.stop()
