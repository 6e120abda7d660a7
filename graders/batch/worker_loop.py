"""One stateless worker: claims job after job of a journal, grades it, stores the result. Start as
many as you like."""

from __future__ import annotations

import contextlib
import os
import random
import threading
import time
import traceback
from dataclasses import dataclass

from graders.batch.grade_job import judge, without_a_try
from graders.batch.jobs import GradeJob, version
from graders.batch.journal import BadJournal, BatchPlan, Journal
from graders.batch.lease import MOST_STARTS
from graders.result import ExerciseResult
from graders.throughput.bounds import VARIABLE as BOUNDS

PAUSE = 0.2  # seconds between two looks at jobs that others hold
LONGEST_PAUSE = 5.0


@dataclass
class WorkerTally:
    """What one worker did. unsaved: results that could not be stored, with the reason of the last."""

    graded: int = 0
    unsaved: int = 0
    reason: str = ""


def work(journal: Journal, *, alone: bool = False) -> WorkerTally:
    """Grade until every job is settled. Raises BadJournal. alone: do not wait for jobs in the hands
    of others.

    A job whose result could not be stored (the disk is full) is left to a later run; the others are
    graded.
    """
    plan = journal.plan()
    _same_grader(journal, plan)
    tally = WorkerTally()
    given_up: set[str] = set()
    pause = PAUSE
    while waiting := [job for job in journal.pending(plan) if job.key not in given_up]:
        random.shuffle(waiting)
        done = sum(_try(journal, plan, job, tally, given_up) for job in waiting)
        if not done:
            if alone:
                break
            time.sleep(pause)
        pause = PAUSE if done else min(2 * pause, LONGEST_PAUSE)
    return tally


def _same_grader(journal: Journal, plan: BatchPlan) -> None:
    """BadJournal unless this process judges as the one that planned; uses the plan's bounds from
    here on."""
    try:
        here = version(plan.options.bounds)
    except OSError as error:
        raise BadJournal(f"{plan.options.bounds} cannot be read: {error.strerror}.") from None
    if plan.options.grader != here:
        raise BadJournal(
            f"{journal.root} was planned with another version of the grader; type the command again."
        )
    if plan.options.bounds:
        os.environ[BOUNDS] = plan.options.bounds


def _try(
    journal: Journal, plan: BatchPlan, job: GradeJob, tally: WorkerTally, given_up: set[str]
) -> bool:
    """Whether the job was ours to grade."""
    if journal.settled(job.key):
        return False
    try:
        lease = journal.acquire(job.key)
    except OSError as error:
        _unsaved(tally, given_up, job, error)
        return False
    if lease is None:
        return False
    with lease:
        if journal.settled(job.key):
            return False
        try:
            if lease.starts >= MOST_STARTS:
                journal.failed(job, f"Not graded: whoever graded it died, {lease.starts} times.")
            else:
                journal.store(job, _verdict(journal, plan, job))
        except OSError as error:
            _unsaved(tally, given_up, job, error)
            return False
    tally.graded += 1
    return True


def _verdict(journal: Journal, plan: BatchPlan, job: GradeJob) -> ExerciseResult:
    """The result. A fault of the grader itself is an ungraded result, never the student's zero."""
    try:
        return judge(job, journal.file(job, plan.options), plan.options, plan.salt)
    except Exception as fault:
        with contextlib.suppress(OSError):  # the log lies on a full disk
            traceback.print_exc()
        words = "".join(traceback.format_exception_only(fault)).strip().splitlines()[-1]
        reason = f"Not graded: the grader itself stumbled, {words}"
        return without_a_try(job, reason, laws_only=plan.options.laws_only)


def _unsaved(tally: WorkerTally, given_up: set[str], job: GradeJob, error: OSError) -> None:
    given_up.add(job.key)
    tally.unsaved += 1
    tally.reason = (
        f"{error.filename or 'the journal'} cannot be written: {os.strerror(error.errno or 0)}"
    )


def end_with(pipe: int) -> None:
    """End this process when the other end of `pipe` is closed: when whoever started it has died,
    however that was."""

    def wait() -> None:
        while os.read(pipe, 1):
            pass
        os._exit(130)

    threading.Thread(target=wait, daemon=True, name="parent").start()
