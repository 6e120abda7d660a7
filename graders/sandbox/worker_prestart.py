"""Workers that import torch in the background while other laws are tried."""

from __future__ import annotations

import threading

from graders.sandbox.isolation import Limits, MachineFault
from graders.sandbox.worker import Tampered, Worker, WorkerDied, WorkerHung

ASK_LIMITS = {"cpu": 120.0, "wall": 300.0}
LIMITS = Limits(packages=True)
TIMED = Limits(packages=True, cpu=1200)
"""Of an engine that is timed, many times over if the machine is noisy."""


class Prestarted:
    """Starts `crew` workers with the driver of `slot` at once; `take` waits for one. Nothing of a
    submission is in it.

    limits: what each of them may use.
    """

    def __init__(self, slot: str, level: str, crew: int = 1, limits: Limits = LIMITS) -> None:
        self._starts = [_Start(slot, level, limits) for _ in range(crew)]

    def take(self) -> Worker:
        """A worker, ready; it is the caller's from now on. Trouble if it could not be had."""
        if not self._starts:
            raise MachineFault("the engine was started once and lost")
        return self._starts.pop(0).wait()

    def settle(self) -> None:
        """Wait until those that nobody has taken are ready, or are lost: afterwards they do
        nothing."""
        for start in self._starts:
            start.settle()

    def end(self) -> None:
        """End those that nobody has taken."""
        for start in self._starts:
            start.abandon()
        for start in self._starts:
            start.end()
        self._starts.clear()


class _Start:
    """One worker on its way."""

    def __init__(self, slot: str, level: str, limits: Limits) -> None:
        self._slot = slot
        self._level = level
        self._limits = limits
        self._worker: Worker | None = None
        self._trouble: MachineFault | None = None
        self._thread = threading.Thread(target=self._start, daemon=True)
        self._thread.start()

    def _start(self) -> None:
        try:
            worker = Worker(self._level, self._limits)
            self._worker = worker
            worker.ask("driver", slot=self._slot, **ASK_LIMITS)
        except MachineFault as trouble:
            self._trouble = trouble
        except (WorkerDied, WorkerHung, Tampered) as failure:
            worker.end()
            self._trouble = MachineFault(f"the engine could not be started ({failure})")

    def settle(self) -> None:
        self._thread.join()

    def wait(self) -> Worker:
        self._thread.join()
        if self._trouble is not None or self._worker is None:
            raise self._trouble or MachineFault("the engine was started once and lost")
        return self._worker

    def abandon(self) -> None:
        if self._worker is not None:
            self._worker.abandon()

    def end(self) -> None:
        self._thread.join()
        if self._worker is not None:
            self._worker.end()
