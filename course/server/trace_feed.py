"""Step records on their way from the engine's thread to whoever watches."""

from __future__ import annotations

import threading
from collections import deque

from reference_engine.metrics import StepRecord

KEPT = 4096
"""Steps that somebody who comes late still sees."""


class TraceFeed:
    """The last records of an engine. watchers: how many look; without any nothing is recorded.
    engine: which one."""

    def __init__(self) -> None:
        self.watchers = self.engine = 0
        self._lock, self._records, self._count = threading.Lock(), deque[StepRecord](maxlen=KEPT), 0

    def take(self, trace: list[StepRecord]) -> None:
        """Move the records over."""
        if trace:
            with self._lock:
                self._records.extend(trace)
                self._count += len(trace)
            trace.clear()

    def restart(self) -> None:
        """Another engine serves from now on: its steps and requests are counted anew."""
        with self._lock:
            self._records.clear()
            self._count = 0
            self.engine += 1

    def since(self, count: int) -> tuple[int, list[StepRecord]]:
        """How many records there have been, and those that came after the first `count`, as far as
        they are kept."""
        with self._lock:
            fresh = min(self._count - count, len(self._records))
            return self._count, list(self._records)[len(self._records) - fresh :] if fresh else []
