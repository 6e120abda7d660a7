"""A worker as a check sees it: ask, get plain data back, or learn how the part died.

The grader keeps the clock. A question that is not answered in time stops the worker for good; so
does everything that breaks the protocol. After any of `WorkerDied`, `WorkerHung`, `Tampered`
nothing of it runs, it has to be ended (which may take a while), and a new one must be started.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from graders.sandbox.isolation import HIGHEST, Limits, Process, held_up, spawn
from graders.sandbox.protocol import Caps, Conversation, ProtocolError, field
from graders.sandbox.quiet import PRINTED, quiet

OUTPUT_CAP = 4096
ASKED = frozenset(("forward", "guess", "read"))  # a forward pass, guesses of heads, keys and values
INBOX = 1 << 18  # bytes of an answer that are taken at once, into the same place each time
CHANGED = 100  # characters of the name of what a part has changed
CPU_PATIENCE = 3.0  # seconds of the worker's CPU time for one question
WALL_PATIENCE = 20.0  # seconds of the clock: a part that sleeps, or a machine under load
MOMENT = 0.002  # seconds of idleness that nobody counts
# seconds that a worker may be idle in all while it is asked, however short each time
SLEEPING = 15.0
# the same, where the kernel does not say who waited for a processor: then waiting counts as
# idleness
UNTOLD = 40.0
LOOK = 0.25  # seconds that we wait at once
STILL = 1.0  # a look that takes longer was interrupted


class WorkerDied(Exception):
    """The worker process ended under the part; the text says how: "exited with status 0", "was
    killed by SIGSEGV"."""


class WorkerHung(Exception):
    """No answer in time. seconds: how long the grader waited. asleep: over many questions, and the
    part did nothing."""

    def __init__(self, seconds: float, *, asleep: bool = False) -> None:
        super().__init__(f"no answer in {seconds:.0f} s")
        self.seconds = seconds
        self.asleep = asleep


class Tampered(Exception):
    """The worker said something that the protocol does not know, or the part changed what is not
    its own."""


@dataclass(frozen=True, slots=True)
class Reading:
    """Of a worker at rest, in seconds: the clock, its CPU time, how long it had been ready to run
    and had no processor, and the grader's thread likewise (0 where the kernel does not say). rests:
    how often it has gone to sleep so far."""

    clock: float
    cpu: float
    delayed: float
    held_up: float
    rests: int

    def since(self, before: Reading) -> float:
        """How long the worker computed or slept over one question. What a busy machine kept it
        waiting is not counted; other threads of its own, for which it may have waited, are.

        A worker rests once for a question. One that rests more often may have slept while the
        grader was held up.
        """
        clock = self.clock - before.clock - (self.delayed - before.delayed)
        if self.rests - before.rests <= 1:
            clock -= self.held_up - before.held_up
        return max(clock, self.cpu - before.cpu)


class Worker:
    """One worker process. `ask` is the only way to talk to it.

    level: the isolation reached, "L3". locks: what it is made of. pid, box: its process and folder,
    from outside.
    """

    def __init__(
        self,
        level: str = HIGHEST,
        limits: Limits | None = None,
        *,
        without: Collection[str] = (),
    ) -> None:
        self._process: Process = spawn(level, limits, without=without)
        self._talk = Conversation(Caps())
        self._inbox = bytearray(INBOX)
        self._printed = bytearray()
        self._lost = 0
        self._unsent = memoryview(b"")
        self.level = self._process.level
        self.locks = self._process.locks
        self.pid = self._process.worker
        self.box = self._process.box
        self.alive = True
        self.quiet = False  # it holds parts of the course's, which nothing that it says may show
        self._abandoned = False
        self._slept = 0.0
        self._stood = 0.0  # seconds that we stood still ourselves
        self._delayed = 0.0  # of the process, when it was last looked at
        self._held_up = held_up()  # of our own, likewise
        os.set_blocking(self._process.output, False)
        self._process.wire.setblocking(False)
        self._poll = select.poll()
        self._poll.register(self._process.output, select.POLLIN)
        self._poll.register(self._process.control, select.POLLIN)
        self._poll.register(self._process.wire, select.POLLIN)
        if self._process.death >= 0:
            self._poll.register(self._process.death, select.POLLIN)

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.end()

    @property
    def slept(self) -> float:
        """Seconds that the worker has been idle in all while it was asked; moments are not counted."""
        return self._slept

    def clock(self) -> float:
        """Seconds from some moment on, but for those in which the grader stood still while it
        waited for an answer.

        Who suspends a job or freezes a container stops us and the worker at once: nobody was idle.
        """
        return time.monotonic() - self._stood

    def still(self) -> contextlib.AbstractContextManager[None]:
        """Nothing of the worker runs meanwhile; see `Process.still`."""
        return self._process.still()

    def tree_seconds(self) -> float:
        """CPU time of the worker, its keeper and what it started, of those that live; see
        `Process.tree_seconds`."""
        return self._process.tree_seconds()

    def cpu_seconds(self) -> float:
        """CPU time of the worker so far, read when it has come to rest: what it used since its last
        rest is not counted by the kernel before."""
        self._process.rest()
        return self._process.cpu_seconds()

    def reading(self) -> Reading:
        """Of the grader's clock first, then of what the kernel knows of the worker once it has come
        to rest."""
        clock = self.clock()
        cpu = self.cpu_seconds()
        return Reading(clock, cpu, self._process.delayed_seconds(), held_up(), _rests(self.pid))

    def ask(
        self,
        do: str,
        *,
        cpu: float = CPU_PATIENCE,
        wall: float = WALL_PATIENCE,
        told: Any = None,
        **fields: Any,
    ) -> dict[str, Any]:
        """The answer to one question, as plain JSON data without its id. Raises Died, Hung,
        Tampered, or Trouble.

        cpu, wall: seconds of the worker's CPU time and of the clock after which it counts as hung.
        told(answer): what the worker is told when it asks for something (`ASKED`) before it
        answers; raises ProtocolError.
        """
        try:
            self._unasked()
            start, spent = self.clock(), self._process.cpu_seconds()
            answer = self._exchange({"do": do, **fields}, start, spent, cpu, wall)
            while told is not None and not ASKED.isdisjoint(answer):
                answer = self._exchange({"do": "told", **told(answer)}, start, spent, cpu, wall)
            changed = field(answer, "tampered", str) if "tampered" in answer else ""
            foreign = field(answer, "foreign", str) if "foreign" in answer else ""
        except ProtocolError as wrong:
            self.stop()
            raise Tampered(f"the worker sent {wrong}") from None
        if foreign:
            self.stop()
            raise Tampered(f"the part made code that is not in its text ({foreign[:CHANGED]})")
        if changed:
            self.stop()
            raise Tampered(f"the part changed {changed[:CHANGED]}, which is not its own")
        return quiet(answer) if self.quiet else answer

    def take_output(self) -> str:
        """What the part has printed since the last call, capped; bytes that are not UTF-8 are
        replaced."""
        if self.alive:
            self._drain()
        text = self._printed.decode("utf-8", "replace")
        if self._lost:
            text += f"\n… {self._lost} more bytes"
        self._printed.clear()
        self._lost = 0
        return PRINTED if text and self.quiet else text

    def stop(self) -> None:
        """It is of no use any more, and nothing of it runs from now on; `end` it when there is time
        for that."""
        if self.alive:
            self._drain()
        self.alive = False
        self._process.stop()

    def end(self) -> None:
        """Kill the worker and everything it started."""
        if self.alive:
            self._drain()
        self.alive = False
        self._process.end()

    def abandon(self) -> None:
        """From another thread: nobody waits any more for what is being asked; `ask` soon raises
        Hung."""
        self._abandoned = True

    def _exchange(
        self, question: dict[str, Any], start: float, spent: float, cpu: float, wall: float
    ) -> dict[str, Any]:
        """One question and its answer. start, spent: the clock, and the worker's, when patience
        began."""
        self._unsent = memoryview(self._talk.ask(question))
        self._refuse_sleep(self._slept, wall)
        asked, used = self.clock(), self._process.cpu_seconds()
        looked = time.monotonic()
        self._send()
        while True:
            answer = self._awaited()
            looked = self._look_back(looked)
            if answer is not None:
                self._rested(self._idle(asked, used, wall))
                return answer
            waited = self.clock() - start
            if (
                self._abandoned
                or waited > wall
                or (waited > cpu and self._process.cpu_seconds() - spent > cpu)
            ):
                self.stop()
                raise WorkerHung(waited)
            self._refuse_sleep(self._slept + self._idle(asked, used, wall), wall)

    def _awaited(self) -> dict[str, Any] | None:
        """The answer, if it comes within a look."""
        for descriptor, event in self._poll.poll(1000 * LOOK):
            answer = self._event(descriptor, event)
            if answer is not None:
                return answer
        return None

    def _look_back(self, looked: float) -> float:
        """A look is short: where the last one took long, and we did not wait for a processor, we
        stood still. The time now."""
        now = time.monotonic()
        if now - looked > STILL:
            self._stood += max(0.0, now - looked - (held_up() - self._held_up))
        return now

    def _idle(self, start: float, spent: float, wall: float) -> float:
        """Seconds since `start` in which the worker neither ran nor waited for a processor, where
        they matter."""
        idle = self.clock() - start - (self._process.cpu_seconds() - spent)
        if idle < MOMENT or wall > WALL_PATIENCE:
            return 0.0
        delayed = self._process.delayed_seconds() - self._delayed + held_up() - self._held_up
        return max(0.0, idle - delayed)

    def _rested(self, idle: float) -> None:
        if idle:
            self._slept += idle
            self._delayed, self._held_up = self._process.delayed_seconds(), held_up()

    def _refuse_sleep(self, slept: float, wall: float) -> None:
        """Hung if the worker has been idle for too long in all; where more patience is asked for,
        there is no limit."""
        if slept > SLEEPING and wall <= WALL_PATIENCE:
            if slept <= UNTOLD and not self._process.delayed_seconds():
                return
            self.stop()
            raise WorkerHung(slept, asleep=True)

    def _event(self, descriptor: int, event: int) -> dict[str, Any] | None:
        if descriptor == self._process.output:
            self._drain()
        elif descriptor == self._process.wire.fileno():
            if event & select.POLLOUT:
                self._send()
            if event & ~select.POLLOUT:
                return self._hear()
        elif descriptor == self._process.death:
            self._deafen(descriptor)
            self._process.hurry()
        else:
            answer = self._hear()  # a last answer may still be in the socket
            if answer is None:
                self._buried()
            return answer
        return None

    def _send(self) -> None:
        """Send what the socket takes; ask to be woken when it takes more."""
        try:
            while self._unsent:
                self._unsent = self._unsent[self._process.wire.send(self._unsent) :]
        except BlockingIOError:
            self._poll.register(self._process.wire, select.POLLIN | select.POLLOUT)
            return
        except OSError:
            self._unsent = memoryview(b"")  # dead: the supervisor will say how
        self._poll.register(self._process.wire, select.POLLIN)

    def _hear(self) -> dict[str, Any] | None:
        try:
            count = self._process.wire.recv_into(self._inbox)
        except BlockingIOError:
            return None
        except ConnectionError:
            count = 0
        if not count:
            self._deafen(self._process.wire.fileno())  # closed: the supervisor will say how it died
            return None
        return self._talk.hear(memoryview(self._inbox)[:count])

    def _deafen(self, descriptor: int) -> None:
        """Listen no more to what was closed: a poll would come back at once, forever."""
        with contextlib.suppress(KeyError):
            self._poll.unregister(descriptor)

    def _unasked(self) -> None:
        """Raises ProtocolError if the worker has spoken without being asked."""
        with contextlib.suppress(BlockingIOError, ConnectionError):
            self._talk.hear(memoryview(self._inbox)[: self._process.wire.recv_into(self._inbox)])

    def _drain(self) -> None:
        """Keep the first OUTPUT_CAP bytes of what was printed, count the rest."""
        for _ in range(64):
            try:
                data = os.read(self._process.output, 1 << 16)
            except BlockingIOError:
                return
            if not data:
                self._deafen(self._process.output)
                return
            room = OUTPUT_CAP - len(self._printed)
            self._printed += data[:room]
            self._lost += max(0, len(data) - room)

    def _buried(self) -> None:
        try:
            status = self._process.exit_status()
        finally:
            self.stop()
        raise WorkerDied(self._process.reason or _how(status))


def _rests(pid: int) -> int:
    """How often a process has given up its processor of its own accord; 0 where the kernel does not
    say."""
    with (
        contextlib.suppress(OSError, ValueError, StopIteration),
        open(f"/proc/{pid}/status", "rb") as file,
    ):
        return int(next(line for line in file if line.startswith(b"voluntary_ctxt")).split()[1])
    return 0


def _how(status: int | None) -> str:
    if status is None:
        return "disappeared"
    if status >= 0:
        return f"exited with status {status}"
    if status == -signal.SIGXCPU:
        return "used up its CPU time"
    with contextlib.suppress(ValueError):
        return f"was killed by {signal.Signals(-status).name}"
    return f"was killed by signal {-status}"
