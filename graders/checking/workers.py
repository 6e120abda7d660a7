"""The worker in use for one submission, with every source of it loaded."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from graders.checking.allowance import Allowance
from graders.checking.failure import Broken
from graders.checking.replies import Raised, exception_of
from graders.registry.parts import simulated
from graders.result import Location, Outcome
from graders.sandbox import fakes
from graders.sandbox.isolation import HIGHEST, Limits, MachineFault, below
from graders.sandbox.protocol import ProtocolError
from graders.sandbox.worker import (
    OUTPUT_CAP,
    WALL_PATIENCE,
    Tampered,
    Worker,
    WorkerDied,
    WorkerHung,
)
from graders.submissions.source import Submission

# characters of a law's output: of two workers, more of them print the same
PRINTED = 2 * OUTPUT_CAP
NONE = "none"  # the isolation of what was never run
# seconds that the driver of a slot may take to import, torch included, on a machine under load
IMPORTING = 120.0


@dataclass(frozen=True, slots=True)
class Source:
    """One file that a worker loads: which slot it fills, the name its tracebacks show, its text.

    watched: it is a learner's, whose code has to be in its text. secret: it is the course's own,
    beside a learner's.
    """

    slot: str
    name: str
    text: str
    watched: bool = False
    secret: bool = False

    @classmethod
    def of(cls, slot: str, submission: Submission) -> Source:
        """What was handed in for a slot."""
        return cls(slot, submission.name, submission.source, not submission.ours)


class Workers:
    """The worker in use for one submission: started when first asked for, replaced when it died.

    sources: what every worker loads, in order: companions first, the submission last. first: a
    worker started before, to be the first one used. allowance: what pays for starting, loading and
    ending them.
    """

    def __init__(
        self,
        sources: Iterable[Source],
        *,
        level: str = HIGHEST,
        limits: Limits | None = None,
        first: Worker | None = None,
        allowance: Allowance | None = None,
    ) -> None:
        self.allowance = allowance or Allowance(math.inf)
        self.sources = tuple(sources)
        self._first = first
        self._level = level
        self._limits = limits
        self._worker: Worker | None = None
        self._output = ""
        self._lost = 0
        self._lowest = NONE

    @property
    def level(self) -> str:
        """The lowest isolation that any worker so far has reached; "none" before the first."""
        return self._lowest

    @property
    def limits(self) -> Limits | None:
        """What a worker may use; None: the usual."""
        return self._limits

    def get(self) -> Worker:
        """A live worker with every source loaded. Raises Broken when the submission cannot be
        loaded in time."""
        if self._worker is None or not self._worker.alive:
            if self.allowance.spent:
                raise Broken(self.allowance.told, outcome=Outcome.TIMEOUT)
            with self.allowance.spending():
                self._start()
        assert self._worker is not None
        return self._worker

    def fresh(self) -> Worker:
        """A new worker, the old one ended."""
        self.end()
        return self.get()

    def still(self) -> contextlib.AbstractContextManager[None]:
        """Nothing of the worker in use runs meanwhile."""
        return contextlib.nullcontext() if self._worker is None else self._worker.still()

    def tree_seconds(self) -> float:
        """CPU time of the worker in use, its keeper and its children."""
        return 0.0 if self._worker is None else self._worker.tree_seconds()

    def stop(self) -> None:
        """Nothing of the worker in use runs any more; it is not ended yet."""
        if self._worker is not None:
            self._worker.stop()

    def end(self) -> None:
        if self._worker is not None:
            with self.allowance.spending():
                self._worker.end()
            self._keep(self._worker.take_output())
            self._worker = None

    def take_output(self) -> str:
        """What the part printed since the last call, capped, however many workers it was printed
        in."""
        if self._worker is not None:
            self._keep(self._worker.take_output())
        text, self._output = self._output, ""
        more, self._lost = self._lost, 0
        return f"{text}\n… {more} more characters, printed again and again" if more else text

    def _keep(self, printed: str) -> None:
        room = PRINTED - len(self._output)
        self._output += printed[:room]
        self._lost += max(0, len(printed) - room)

    def _start(self) -> None:
        """In the place of the one in use; where something cannot be loaded it stands still, and is
        ended later."""
        try:
            self._load_all()
        except BaseException:
            self.stop()
            raise

    def _load_all(self) -> None:
        if self._worker is not None:
            self._worker.end()
            self._keep(self._worker.take_output())
        worker, self._first = self._first or Worker(self._level, self._limits), None
        self._worker = worker
        if self._lowest == NONE or below(worker.level, self._lowest):
            self._lowest = worker.level
        self._surround(worker)
        worker.quiet = any(source.secret for source in self.sources) and self.sources[-1].watched
        for source in self.sources:
            self._load(worker, source)

    def _surround(self, worker: Worker) -> None:
        """Send the stand-ins; nothing of a submission is in the worker yet."""
        loaded = [source.slot for source in self.sources]
        if loaded[-1] not in [part.slot for part in simulated()]:
            return
        try:
            for slot, text in fakes.texts(loaded[-1], loaded).items():
                worker.ask("stand_in", slot=slot, source=text)
        except (WorkerDied, WorkerHung, Tampered) as failure:
            raise MachineFault(f"the worker {failure} before it had met the part") from None

    def _import_driver(self, worker: Worker, slot: str) -> None:
        """The submission comes last, so nothing of it is in the worker yet: whatever happens is no
        fault of its."""
        try:
            worker.ask("driver", slot=slot, cpu=IMPORTING, wall=IMPORTING)
        except (WorkerDied, WorkerHung, Tampered) as failure:
            raise MachineFault(f"the worker {failure} before it had met the part") from None

    def _load(self, worker: Worker, source: Source) -> None:
        self._import_driver(worker, source.slot)
        try:
            told: dict[str, Any] = {
                "slot": source.slot,
                "file": source.name,
                "source": source.text,
                "watched": source.watched,
            }
            answer = worker.ask(
                "load", wall=max(0.0, min(WALL_PATIENCE, self.allowance.left)), **told
            )
        except WorkerDied as death:
            raise Broken(
                f"The process {death} while {source.name} was imported.", outcome=Outcome.CRASH
            ) from None
        except WorkerHung as wait:
            message = f"{source.name} was still not imported after {wait.seconds:.0f} s: a loop at module level?"
            raise Broken(message, outcome=Outcome.TIMEOUT) from None
        except Tampered as wrong:
            raise Broken(
                f"While {source.name} was imported, {wrong}.", outcome=Outcome.INVALID
            ) from None
        if answer:
            raised = _raised_at_import(source.name, answer)
            raise Broken(
                raised.at_import(source.name),
                outcome=raised.outcome,
                location=Location(source.name, raised.line),
            )


def _raised_at_import(name: str, answer: dict[str, Any]) -> Raised:
    try:
        return exception_of(answer)
    except ProtocolError as wrong:
        message = f"While {name} was imported, the worker sent {wrong}."
        raise Broken(message, outcome=Outcome.INVALID) from None
