"""A worker that imports torch in the background while the other laws are tried."""

from __future__ import annotations

import threading

from graders.isolation import Limits, Trouble
from graders.worker import Died, Hung, Tampered, Worker

PATIENCE = {"cpu": 120.0, "wall": 300.0}
LIMITS = Limits(packages=True)


class Ahead:
    """Starts a worker with the driver of `slot` at once; `take` waits for it. Nothing of a submission is in it."""

    def __init__(self, slot: str, level: str) -> None:
        self._slot = slot
        self._level = level
        self._worker: Worker | None = None
        self._trouble: Trouble | None = None
        self._thread = threading.Thread(target=self._start, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            worker = Worker(self._level, LIMITS)
            self._worker = worker
            worker.ask("driver", slot=self._slot, **PATIENCE)
        except Trouble as trouble:
            self._trouble = trouble
        except (Died, Hung, Tampered) as failure:
            self._trouble = Trouble(f"the engine could not be started ({failure})")

    def take(self) -> Worker:
        """The worker, ready; it is the caller's from now on. Trouble if it could not be had."""
        self._thread.join()
        worker, self._worker = self._worker, None
        if self._trouble is not None or worker is None:
            raise self._trouble or Trouble("the engine was started once and lost")
        return worker

    def end(self) -> None:
        """End it if nobody has taken it."""
        if self._worker is not None:
            self._worker.abandon()
        self._thread.join()
        if self._worker is not None:
            self._worker.end()
            self._worker = None
