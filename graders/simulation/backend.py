"""Where the driver of the simulation runs: in a worker (a `CallRecorder`), or for trusted parts in
this process."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from graders.checking.failure import Step
from graders.checking.replies import Raised, Reply, Returned
from graders.sandbox import fakes, protocol

DRIVER = "graders.sandbox.guest.scheduler"


class Backend(Protocol):
    """Plays a whole trace on a fresh engine and tells move by move what came of it. See
    `graders.checking.call_recorder.CallRecorder`.

    label: what the story calls the engine, empty for nothing.
    """

    label: str
    steps: list[Step]

    @property
    def slow(self) -> bool: ...

    def instead(self, count: int, moves: Sequence[Any]) -> None: ...

    def play(
        self,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        written: str,
        moves: Sequence[Any],
        code: str = "",
    ) -> Raised | None: ...

    def next(self, method: str, written: str, code: str = "") -> tuple[Reply, Any]: ...

    def finish(self) -> None: ...


class InProcessBackend:
    """The driver in this process. parts: slot -> a module, or anything else that has the class of
    the part.

    What is missing is filled with stand-ins.
    """

    slow = False
    label = ""

    def __init__(self, parts: Mapping[str, Any]) -> None:
        self.parts = {**fakes.modules(), **parts}
        self.steps: list[Step] = []
        self._waiting: list[Any] = []
        self._engine: Any = None

    def play(
        self,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        written: str,
        moves: Sequence[Any],
        code: str = "",
    ) -> Raised | None:
        self.steps.append(Step(written))
        self._waiting = list(moves)
        try:
            self._engine = importlib.import_module(DRIVER).ToyEngine(
                self.parts, _attempt, **args[0]
            )
        except Exception as error:
            return _raised(error)
        return None

    def next(self, method: str, written: str, code: str = "") -> tuple[Reply, Any]:
        """The driver makes the move now."""
        self.steps.append(Step(written))
        name, *args = self._waiting.pop(0)
        self._engine.about = None
        reply = reply_of(_attempt(getattr(self._engine, name), *args))
        return reply, self._engine.about

    def instead(self, count: int, moves: Sequence[Any]) -> None:
        self._waiting[:count] = moves

    def finish(self) -> None: ...


def reply_of(outcome: Any) -> Reply:
    """An outcome from the wire, or one of `InProcessBackend`."""
    if type(outcome) is dict and set(outcome) == {"r"}:
        return Returned(outcome["r"])
    if type(outcome) is dict and set(outcome) == {"x"}:
        raised = outcome["x"]
        return raised if isinstance(raised, Raised) else Raised.of(raised)
    raise protocol.ProtocolError("an outcome that is not one")


def items(data: Any, length: int) -> list[Any]:
    """A list of just so many things; ProtocolError for anything else."""
    return _list(data, length)


def _list(data: Any, length: int | None = None) -> list[Any]:
    if type(data) not in (list, tuple) or length not in (None, len(data)):
        raise protocol.ProtocolError("an answer with something else where a list belongs")
    return data if type(data) is list else list(data)


def _attempt(function: Any, *args: Any) -> dict[str, Any]:
    try:
        return {"r": function(*args)}
    except Exception as error:
        return {"x": _raised(error)}


def _raised(error: Exception) -> Raised:
    kinds = tuple(kind.__name__ for kind in type(error).__mro__ if kind is not object)
    return Raised(kinds, type(error).__name__, str(error), ())
