"""Questions to the worker, and in what words it is told that none came back: the part died, hung or
tampered."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

from graders.checking.check_context import CheckContext
from graders.result import Outcome
from graders.sandbox import protocol
from graders.sandbox.worker import WALL_PATIENCE, Tampered, WorkerDied, WorkerHung

T = TypeVar("T")


class Lost(Exception):
    """No answer came that can be used. message: one sentence. got: in words. asleep: seconds the
    part slept, or 0."""

    def __init__(self, message: str, got: str, outcome: Outcome, asleep: float = 0.0) -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.outcome = outcome
        self.asleep = asleep


@dataclass(slots=True)
class Transport:
    """Asks the worker of a context. napped: seconds that it was idle over the last question, if
    `watching` for that."""

    context: CheckContext
    watching: bool = False
    napped: float = 0.0

    def ask(self, method: str, do: str, fields: dict[str, Any]) -> dict[str, Any]:
        """The answer; Lost if none comes. method: of the part, which is asked about."""
        worker, allowance = self.context.worker, self.context.allowance
        before = worker.slept if self.watching else 0.0
        limits = {"wall": WALL_PATIENCE, **self.context.ask_limits}
        limits["wall"] = min(limits["wall"], max(allowance.left, 0.0))
        try:
            with allowance.spending(worker.clock):
                answer = worker.ask(do, **limits, **self._told(), **fields)
        except WorkerDied as death:
            told = f"the process {death}"
            raise Lost(f"The process {death} in `{method}`.", told, Outcome.CRASH) from None
        except WorkerHung as wait:
            if wait.asleep:
                raise Lost(
                    _slept("The part", wait.seconds), "no answer", Outcome.TIMEOUT, wait.seconds
                ) from None
            if allowance.spent:
                raise Lost(allowance.told, "no answer in time", Outcome.TIMEOUT) from None
            message = (
                f"`{method}` did not come back (waited {wait.seconds:.0f} s): an endless loop?"
            )
            raise Lost(message, "no answer", Outcome.TIMEOUT) from None
        except Tampered as wrong:
            raise Lost(f"In `{method}` {wrong}.", str(wrong), Outcome.INVALID) from None
        self.napped = worker.slept - before if self.watching else 0.0
        return answer

    def _told(self) -> dict[str, Any]:
        return {} if self.context.told is None else {"told": self.context.told}

    def parsed(self, method: str, parse: Callable[[], T]) -> T:
        """`parse()`, a ProtocolError in it being the worker's: Lost, and the worker is ended."""
        try:
            return parse()
        except protocol.ProtocolError as wrong:
            self.context.workers.end()
            raise Lost(
                f"In `{method}` the worker sent {wrong}.", str(wrong), Outcome.INVALID
            ) from None


def overslept(method: str, lost: Lost, nap: float) -> Lost:
    """The same, told of the method in which the part slept longest: `nap` seconds."""
    return Lost(
        _slept(f"`{method}`", lost.asleep), f"idle for {nap:.2g} s", Outcome.TIMEOUT, lost.asleep
    )


def _slept(who: str, seconds: float) -> str:
    return f"{who} sleeps: it kept the grader waiting for {seconds:.0f} s and did nothing."
