"""A whole batch: plan it, have it graded, enter it in the journal."""

from __future__ import annotations

import os
from dataclasses import dataclass

from graders.batch.discovery import DiscoveredJob
from graders.batch.jobs import Options
from graders.batch.journal import BatchPlan, Journal
from graders.batch.pool import OnProgress, PoolFailed, WorkerPool
from graders.reports.row import Row

FULL = "its result could not be stored; the disk may be full"


@dataclass(frozen=True, slots=True)
class BatchResult:
    """What came of a batch: a row for every job of the plan. trouble: why it ended early, or empty."""

    rows: tuple[Row, ...]
    trouble: str = ""
    entered: int = 0  # lines new in the journal


def plan(
    journal: Journal, handed: list[DiscoveredJob], options: Options, seed: int | None = None
) -> BatchPlan:
    """Write the plan of a batch; what an earlier run has settled counts. OSError when the folder
    cannot be written."""
    planned = journal.open(handed, options, seed)
    journal.commit(planned)  # reads every result: a damaged one is put aside and graded again
    return planned


def run_locally(
    journal: Journal, planned: BatchPlan, size: int, on_progress: OnProgress
) -> BatchResult:
    """Grade what is pending with `size` workers on this machine."""
    trouble = because = ""
    with WorkerPool(journal, planned, size) as pool:
        try:
            pool.run(on_progress)
        except PoolFailed as failed:
            trouble = because = str(failed)
        if pool.stuck:
            trouble = because = FULL
    return close(journal, planned, because, trouble)


def close(
    journal: Journal, planned: BatchPlan, because: str = "", trouble: str = ""
) -> BatchResult:
    """Enter what is settled in the journal and give every job's row, the unsettled ones as
    ungraded."""
    entered = 0
    try:
        entered = journal.commit(planned)
    except OSError as error:
        trouble = trouble or f"the journal cannot be written: {os.strerror(error.errno or 0)}."
    return BatchResult(
        tuple(journal.rows(planned, because or "it was not its turn yet")), trouble, entered
    )
