"""Workers on this machine: the same stateless process a few times over, watched, and replaced when
one dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import graders
from graders.batch.journal import BatchPlan, Journal

BEAT = 0.1  # seconds between two looks
MOST_DEATHS = 20  # of workers with no job in hand; beyond that the machine is to blame
ENDING = 10.0  # seconds a worker has to put its things away
SECRETS = ("GITHUB_", "ACTIONS_", "RUNNER_")  # prefixes of variables that no grader needs
ONE_THREAD = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")

OnProgress = Callable[[int], None]  # told how many jobs are settled


class PoolFailed(Exception):
    """No worker stays alive; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class _Member:
    number: int
    process: subprocess.Popen[bytes]


class WorkerPool:
    """`size` workers for one journal. As a context: all are ended when it is left, whatever
    happens."""

    def __init__(self, journal: Journal, plan: BatchPlan, size: int) -> None:
        self._journal = journal
        self._jobs = {job.key: job for job in plan.jobs}
        self._plan = plan
        self._size = size
        self._members: list[_Member] = []
        self._started = 0
        self._deaths = 0
        self.stuck = False  # some result could not be stored

    def __enter__(self) -> WorkerPool:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self._members:
            member.process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + ENDING
        for member in self._members:
            try:
                member.process.wait(max(0.0, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                member.process.kill()
                member.process.wait()

    def run(self, on_progress: OnProgress) -> None:
        """Until every job is settled, or nothing is left that could be stored. Raises PoolFailed."""
        while True:
            pending = {job.key for job in self._journal.pending(self._plan)}
            on_progress(sum(job.key not in pending for job in self._plan.jobs))
            if not pending:
                return
            self._reap()
            if self._deaths > MOST_DEATHS:
                logs = self._journal.root / "logs"
                raise PoolFailed(
                    f"{self._deaths} workers died with no job in hand; what they said is in {logs}."
                )
            if self.stuck and not self._members:
                return
            if not self.stuck:
                self._hire(min(self._size, len(pending)))
            time.sleep(BEAT)

    def _hire(self, size: int) -> None:
        while len(self._members) < size:
            self._started += 1
            self._members.append(_Member(self._started, start(self._journal, self._started)))

    def _reap(self) -> None:
        for member in [member for member in self._members if member.process.poll() is not None]:
            self._members.remove(member)
            code = member.process.returncode
            if code == 2:
                raise PoolFailed("The grader was changed while it graded; type the command again.")
            if code == 3:
                self.stuck = True
            elif code:
                self._bury(member.process.pid, code)

    def _bury(self, pid: int, code: int) -> None:
        """A worker died: what it had in hand is a try that ended ungraded."""
        held = [key for key in self._journal.held_by(pid) if key in self._jobs]
        self._deaths += not held
        try:
            for key in held:
                self._journal.failed(
                    self._jobs[key], f"Not graded: the process that graded it {_how(code)}."
                )
        except OSError:
            self.stuck = True


def start(journal: Journal, number: int) -> subprocess.Popen[bytes]:
    """One worker. It ends when this process does, however that happens: its stdin is closed then."""
    log = journal.root / "logs" / f"worker-{number}.log"
    command = [sys.executable, "-P", "-m", "graders.batch", os.fspath(journal.root)]
    with _log(log) as output:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            env=environment(),
            start_new_session=True,
        )


def environment() -> dict[str, str]:
    """What a worker on this machine gets: no secrets of a CI job, one thread, and this very course
    to import."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SECRETS)}
    home = os.fspath(Path(graders.__path__[0]).parent)
    paths = [home, *filter(None, kept.get("PYTHONPATH", "").split(os.pathsep))]
    return {
        **dict.fromkeys(ONE_THREAD, "1"),
        **kept,
        "PYTHONPATH": os.pathsep.join(dict.fromkeys(paths)),
    }


def _log(path: Path) -> BinaryIO:
    try:
        return path.open("ab")
    except OSError:
        return open(os.devnull, "ab")


def _how(code: int) -> str:
    if code > 0:
        return f"ended with status {code}"
    try:
        return f"was killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"was killed by signal {-code}"
