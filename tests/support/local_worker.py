"""A worker without a process: parts of the test data are trusted, and a hundred of them are graded
in seconds.

Only how a question travels differs: it is answered by the worker's own code in this process,
through JSON both ways. What needs a process of its own (a part that hangs, dies or prints) is
tested with the real one.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import graders


class LocalLine:
    """The grader's end of it: what the part asks for while it answers."""

    def __init__(self) -> None:
        self.told: Any = None

    def ask(self, wanted: dict[str, Any]) -> dict[str, Any]:
        return _sent(self.told(_sent(wanted)))


def _sent(message: dict[str, Any]) -> dict[str, Any]:
    received: dict[str, Any] = json.loads(json.dumps(message))
    return received


class LocalWorker:
    """What a check needs of `graders.sandbox.worker.Worker`."""

    def __init__(
        self,
        level: str = "",
        limits: Any = None,
        caps: Any = None,
        *,
        without: Collection[str] = (),
    ) -> None:
        folder = str(Path(graders.__file__).parent / "sandbox")
        if folder not in sys.path:
            sys.path.append(folder)
        from guest.worker import GuestParts

        self._line = LocalLine()
        self._parts = GuestParts(self._line)  # type: ignore[arg-type]
        self.level = "none"
        self.alive = True

    def ask(
        self, do: str, *, cpu: float = 0.0, wall: float = 0.0, told: Any = None, **fields: Any
    ) -> dict[str, Any]:
        self._line.told = told
        return _sent(self._parts.answer(_sent({"do": do, **fields})))

    def clock(self) -> float:
        return time.monotonic()

    def tree_seconds(self) -> float:
        return time.process_time()

    def cpu_seconds(self) -> float:
        return time.process_time()

    def take_output(self) -> str:
        return ""

    def stop(self) -> None:
        self.alive = False

    def end(self) -> None:
        self.alive = False
