"""The folder in which a batch lives. It holds all that a worker needs, so that any machine which
sees it can help.

plan.json      the jobs, and how they are judged
files/KEY.py   the part of a job, as it was handed in
leases/        who works on what
results/KEY.json    the one result of a job: the first that was stored
attempts/KEY.N      why try N ended ungraded
quarantine/KEY.json the ungraded result of a job that nobody shall try again
journal.jsonl  who got what, one line each with a checksum, only ever added to
logs/          what workers had to say
.key           whoever may read it signs what is stored here; nothing else is believed
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec

from graders.batch import lease, storage
from graders.batch.discovery import DiscoveredJob
from graders.batch.grade_job import Unreadable, pack, unpack, without_a_try
from graders.batch.jobs import GradeJob, Options, key_of
from graders.batch.seal import Seal
from graders.reports.row import Row
from graders.result import ExerciseResult, Outcome
from graders.submissions.submission_reader import canonical

FORMAT = 1
SALT_BITS = 128
MOST_UNGRADED = 2  # tries that may end ungraded; after one more the job is quarantined
FOLDERS = ("files", "leases", "results", "attempts", "quarantine", "logs")


class BadJournal(Exception):
    """The folder holds no plan that can be read; the text is one sentence."""


@dataclass(frozen=True, slots=True)
class BatchPlan:
    """The jobs of a batch, how they are judged, and the salt from which every job's seed is drawn."""

    jobs: tuple[GradeJob, ...]
    options: Options
    salt: int
    format: int = FORMAT


class Journal:
    """The journal in folder `root`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._seal = Seal(root)

    # ------------------------------------------------------------ the plan

    def open(
        self, handed: Iterable[DiscoveredJob], options: Options, seed: int | None = None
    ) -> BatchPlan:
        """Write the plan and the files, beside what earlier runs have left. OSError when it cannot
        be written."""
        self.root.parent.mkdir(parents=True, exist_ok=True)
        self.root.mkdir(mode=0o700, exist_ok=True)
        for name in FOLDERS:
            (self.root / name).mkdir(exist_ok=True)
        jobs = []
        for each in handed:
            jobs.append(each.job)
            if not each.job.problem:
                self._keep_file(each)
        with contextlib.suppress(BadJournal):
            seed = self.plan().salt if seed is None else seed
        plan = BatchPlan(
            tuple(jobs), options, secrets.randbits(SALT_BITS) if seed is None else seed
        )
        storage.replace(
            self.root / "plan.json", json.dumps(self._seal.signed(asdict(plan), "plan")).encode()
        )
        return plan

    def plan(self) -> BatchPlan:
        """The plan that was written. Raises BadJournal."""
        try:
            written = json.loads((self.root / "plan.json").read_bytes())
            if not isinstance(written, dict) or written.get("format") != FORMAT:
                raise BadJournal(
                    f"{self.root} was written by another version of the course; grade into a new folder."
                )
            ours = self._seal.opened(written, "plan")
            if ours is None:
                raise BadJournal(
                    f"{self.root / 'plan.json'} was not written by you with this journal's key."
                )
            plan = msgspec.convert(ours, BatchPlan)
        except FileNotFoundError:
            raise BadJournal(f"{self.root} is no journal: it has no plan.json.") from None
        except (OSError, ValueError, msgspec.ValidationError) as wrong:
            raise BadJournal(f"{self.root / 'plan.json'} cannot be read: {wrong}.") from None
        return plan

    def file(self, job: GradeJob, options: Options) -> Path:
        """Where the part of a job lies. OSError if it is not what was handed in any more."""
        path = self._file(job)
        if (
            not job.problem
            and key_of(job.exercise, job.name, path.read_bytes(), options) != job.key
        ):
            raise OSError(f"{path} is not what was handed in any more")
        return path

    def text(self, job: GradeJob, options: Options) -> str:
        """The part of a job, as far as it is text; empty if it is gone or another."""
        try:
            return self.file(job, options).read_bytes().decode("utf-8-sig", "replace")
        except OSError:
            return ""

    # ------------------------------------------------------------ what workers write

    def settled(self, key: str) -> bool:
        """Whether a job needs no more work."""
        return self._result(key).exists() or self._quarantine(key).exists()

    def pending(self, plan: BatchPlan) -> list[GradeJob]:
        """The jobs that still need work, one for each key."""
        done = {
            path.stem
            for folder in ("results", "quarantine")
            for path in (self.root / folder).glob("*.json")
        }
        return list({job.key: job for job in plan.jobs if job.key not in done}.values())

    def acquire(self, key: str) -> lease.Lease | None:
        """The lease of a job; None while another works on it."""
        return lease.acquire(self.root / "leases", key)

    def held_by(self, pid: int) -> list[str]:
        """The unsettled jobs in the hands of a process of this machine."""
        return [key for key in lease.held_by(self.root / "leases", pid) if not self.settled(key)]

    def store(self, job: GradeJob, result: ExerciseResult) -> None:
        """Keep the result, if it is the job's first; an ungraded one counts as a try, unless a
        person has to decide."""
        reason = ungraded_because(result)
        if reason and not result.needs_person:
            self.failed(job, reason, result)
        else:
            self._keep(self._result(job.key), job.key, result)

    def failed(self, job: GradeJob, reason: str, result: ExerciseResult | None = None) -> None:
        """A try ended ungraded. After too many the job is quarantined."""
        number = len(self.attempts(job.key))
        signed = json.dumps(
            self._seal.signed({"reason": legal_text(reason)}, f"{job.key}.attempt")
        ).encode()
        while not storage.keep_first(self.root / "attempts" / f"{job.key}.{number}", signed):
            number += 1
        if len(self.attempts(job.key)) > MOST_UNGRADED:
            short = self.plan().options.laws_only
            last = result if result is not None else without_a_try(job, reason, laws_only=short)
            self._keep(self._quarantine(job.key), job.key, last)

    def attempts(self, key: str) -> tuple[str, ...]:
        """Why earlier tries of a job ended ungraded."""
        found = []
        with contextlib.suppress(FileNotFoundError):
            for number in range(1000):
                path = self.root / "attempts" / f"{key}.{number}"
                said = self._signed_in(path, f"{key}.attempt")
                found += [str(said["reason"])] if said else []
        return tuple(found)

    def retry(self) -> int:
        """Let everything out of quarantine; how many jobs that were."""
        paths = list((self.root / "quarantine").glob("*.json"))
        for path in paths:
            for attempt in (self.root / "attempts").glob(f"{path.stem}.*"):
                attempt.unlink(missing_ok=True)
            path.unlink(missing_ok=True)
        return len(paths)

    # ------------------------------------------------------------ the committer

    def commit(self, plan: BatchPlan) -> int:
        """Enter into the journal what was settled since; how many lines that were. One process at a
        time; a second call enters nothing."""
        with (self.root / "journal.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            known = {_identity(entry) for entry in self._entries()}
            fresh = [
                entry
                for entry in map(self._entry, plan.jobs)
                if entry and _identity(entry) not in known
            ]
            if fresh:
                storage.append(self._lines, [self._seal.signed(entry, "line") for entry in fresh])
            return len(fresh)

    def committed(self) -> list[Row]:
        """The rows entered so far, sorted; of a student's results for one exercise the last. Raises
        nothing."""
        latest = {(entry["student"], entry["exercise"]): entry for entry in self._entries()}
        rows = [self._row(entry) for entry in latest.values()]
        return sorted((row for row in rows if row is not None), key=lambda row: row.order)

    def rows(self, plan: BatchPlan, because: str = "it was not its turn yet") -> list[Row]:
        """A row for every job of the plan, settled or not; an unsettled one is ungraded and says
        why.

        because: a clause, for jobs that nobody has tried.
        """
        return [
            self._row_of(job, because, plan.options.laws_only)
            for job in sorted(plan.jobs, key=lambda job: job.order)
        ]

    # ------------------------------------------------------------ inside

    @property
    def _lines(self) -> Path:
        return self.root / "journal.jsonl"

    def _file(self, job: GradeJob) -> Path:
        return self.root / "files" / job.key / job.name

    def _result(self, key: str) -> Path:
        return self.root / "results" / f"{key}.json"

    def _quarantine(self, key: str) -> Path:
        return self.root / "quarantine" / f"{key}.json"

    def _keep_file(self, handed: DiscoveredJob) -> None:
        path = self._file(handed.job)
        path.parent.mkdir(exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            if canonical(path.read_bytes()) == canonical(handed.data):
                return
        storage.replace(path, handed.data)

    def _keep(self, path: Path, key: str, result: ExerciseResult) -> None:
        """Store it, if it is the first that is ours: what others put in its place is put aside."""
        signed = json.dumps(
            self._seal.signed(json.loads(pack(result)), key), sort_keys=True
        ).encode()
        if not storage.keep_first(path, signed) and self._read(key) is None:
            storage.keep_first(path, signed)

    def _read(self, key: str) -> tuple[ExerciseResult, bool] | None:
        """The result and whether it is a quarantined one. A file that is damaged, or not ours, is
        put aside: the job is graded again."""
        for path, quarantined in ((self._result(key), False), (self._quarantine(key), True)):
            try:
                return unpack(json.dumps(self._signed_in(path, key)).encode()), quarantined
            except FileNotFoundError:
                continue
            except Unreadable:
                os.replace(path, path.with_suffix(".damaged"))
        return None

    def _signed_in(self, path: Path, about: str) -> dict[str, Any] | None:
        """What a file says, if it was signed; FileNotFoundError if there is none."""
        try:
            return self._seal.opened(json.loads(path.read_bytes()), about)
        except FileNotFoundError:
            raise
        except (OSError, ValueError, RecursionError):
            return None

    def _entries(self) -> Iterator[dict[str, Any]]:
        """The lines of the journal that are ours."""
        yield from filter(
            None, (self._seal.opened(line, "line") for line in storage.lines(self._lines))
        )

    def _entry(self, job: GradeJob) -> dict[str, Any] | None:
        found = self._read(job.key)
        if found is None:
            return None
        result, quarantined = found
        return {
            "student": job.student,
            "exercise": job.exercise,
            "source": job.source,
            "key": job.key,
            "outcome": result.outcome.value,
            "points": result.points,
            "max_points": result.max_points,
            "quarantined": quarantined,
            "notices": job.notices,
            "notebook": job.notebook,
            "answers": job.answers,
        }

    def _row(self, entry: dict[str, Any]) -> Row | None:
        found = self._read(entry["key"])
        if found is None:
            return None
        tries = self.attempts(entry["key"])
        beside = (tuple(entry["notices"]), tuple(entry["notebook"]), tuple(entry["answers"]))
        return Row(
            entry["student"],
            entry["exercise"],
            found[0],
            entry["source"],
            entry["key"],
            found[1],
            tries,
            *beside,
        )

    def _row_of(self, job: GradeJob, because: str, laws_only: bool) -> Row:
        found = self._read(job.key)
        tries = self.attempts(job.key)
        if found is None:
            words = tries[-1] if tries else f"Not graded: {because.rstrip('.')}."
            found = without_a_try(job, words, laws_only=laws_only), False
        beside = job.notices, job.notebook, job.answers
        return Row(
            job.student, job.exercise, found[0], job.source, job.key, found[1], tries, *beside
        )


def legal_text(text: str) -> str:
    """As UTF-8 can hold it."""
    return text.encode("utf-8", "replace").decode()


def ungraded_because(result: ExerciseResult) -> str:
    """Why some law could not be judged; empty when all were."""
    reasons = [law.message for law in result.laws if law.outcome is Outcome.UNGRADED]
    return (reasons[0] or "Not graded: no reason was given.") if reasons else ""


def _identity(entry: dict[str, Any]) -> tuple[Any, ...]:
    return entry["student"], entry["exercise"], entry["key"], entry["quarantined"]
