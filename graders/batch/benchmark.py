"""`python -m graders.batch.benchmark`: a whole class graded unattended, and what that costs.

Builds a class of stubs, wrong parts, right parts, hostile ones and broken files (from
`tests/support/sample_class.py` of a clone), grades it, compares every verdict with the one it must
get, and says how many submissions a minute that is and what was spent beside the checks themselves.
With `--kills` it is killed at random moments and resumed, and must end the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import graders
from graders.batch.journal import Journal
from graders.batch.pool import environment
from graders.reports import words
from graders.reports.row import Row

ROOT = Path(graders.__path__[0]).parent
ALLOWED = 0.2  # seconds beside the checks a submission may cost


@dataclass(frozen=True, slots=True)
class BatchFigures:
    """What a run cost. graded: parts that differ, each graded once. beside: seconds of a worker for
    each of them that no check used, start-up included. unexpected: verdicts that are not what they
    must be."""

    submissions: int
    graded: int
    workers: int
    seconds: float
    a_minute: float
    checks: float
    beside: float
    kills: int
    unexpected: tuple[str, ...]


def main(arguments: list[str] | None = None) -> int:
    """Exit codes: 0 as it must be, 1 a verdict or the cost is not, 2 no clone to build a class
    from."""
    order = _parser().parse_args(arguments)
    school = _school()
    if school is None:
        print(
            "The class is built by tests/support/sample_class.py; run this in a clone of the project.",
            file=sys.stderr,
        )
        return 2
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        home = Path(folder)
        expected = school.enrol(home / "class", school.classes(order.size))
        kills = _kill_and_resume(home, order.jobs, order.kills)
        start = time.monotonic()
        run(home, "journal", order.jobs)
        seconds = time.monotonic() - start
        rows = Journal(home / "journal").committed()
        wrong = [*_wrong(school, expected, rows), *(_differences(home, rows) if kills else [])]
    figures = measure(rows, order.jobs, seconds, kills, wrong)
    print(json.dumps(asdict(figures)) if order.json else tell(figures))
    return 1 if wrong or figures.beside > ALLOWED else 0


def run(home: Path, journal: str, jobs: int, after: float | None = None) -> int:
    """One `course grade` of the class; killed after so many seconds if asked. The exit code."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "course.cli",
        "grade",
        str(home / "class"),
        "--journal",
        str(home / journal),
    ]
    command += ["--laws-only", "--seed", "1", "--jobs", str(jobs)]
    quiet = subprocess.DEVNULL
    batch = subprocess.Popen(command, env=environment(), stdout=quiet, stderr=quiet)
    try:
        return batch.wait(after)
    except subprocess.TimeoutExpired:
        batch.send_signal(signal.SIGKILL)
        return batch.wait()


def measure(
    rows: list[Row], jobs: int, seconds: float, kills: int, wrong: Iterable[str]
) -> BatchFigures:
    """The figures of a run that took so many seconds."""
    checks = {row.key: row.result.seconds for row in rows}
    used = sum(checks.values())
    beside = max(0.0, seconds * jobs - used) / max(1, len(checks))
    a_minute = 60 * len(rows) / seconds
    return BatchFigures(
        len(rows), len(checks), jobs, seconds, a_minute, used, beside, kills, tuple(wrong)
    )


def tell(figures: BatchFigures) -> str:
    """For a person."""
    lines = [
        f"{figures.submissions} submissions, {figures.graded} different parts, {figures.workers} workers",
        f"{figures.seconds:8.1f} s      {figures.a_minute:.0f} submissions a minute",
        f"{figures.checks:8.1f} s      in the checks themselves",
        f"{figures.beside:8.3f} s      beside them for each part (allowed: {ALLOWED})",
        f"{figures.kills:8d}        kills before, the same journal as undisturbed"
        if figures.kills
        else "",
        f"{len(figures.unexpected):8d}        verdicts that are not as they must be",
        *(f"  {line}" for line in figures.unexpected),
    ]
    return "\n".join(filter(None, lines))


def _kill_and_resume(home: Path, jobs: int, kills: int) -> int:
    """Grade the class into a journal of its own, killed at random moments; how often it was alive
    to be killed."""
    chance = random.Random(kills)
    done = sum(
        run(home, "killed", jobs, chance.uniform(0.2, 4.0)) == -signal.SIGKILL for _ in range(kills)
    )
    if kills:
        run(home, "killed", jobs)
    return done


def _differences(home: Path, rows: list[Row]) -> list[str]:
    """Where the journal of the killed batch differs from that of the undisturbed one."""
    other = [_judged(row) for row in Journal(home / "killed").committed()]
    undisturbed = [_judged(row) for row in rows]
    if other == undisturbed:
        return []
    differing = [
        str(one[:2]) for one, another in zip(undisturbed, other, strict=False) if one != another
    ]
    return [
        f"killed and resumed, {len(other)} rows instead of {len(undisturbed)}; differing: {', '.join(differing)}"
    ]


def _judged(row: Row) -> tuple[Any, ...]:
    """A row without what depends on the clock."""
    laws = [(law.number, law.outcome, law.points, law.message) for law in row.result.laws]
    return row.student, row.exercise, row.key, row.quarantined, row.result.seed, laws


def _wrong(school: Any, expected: dict[tuple[str, int], Any], rows: list[Row]) -> list[str]:
    found = {(row.student, row.exercise): row for row in rows}
    by_name: dict[str, Row] = {row.student: row for row in rows}
    said = []
    for (name, exercise), pupil in expected.items():
        row = found.get((name, exercise)) or by_name.get(name)
        if row is None:
            said.append(f"{name!r} has no row")
            continue
        outcomes = {str(law.outcome) for law in row.result.laws}
        said.append(school.unexpected(pupil, outcomes, words.verdict(row)))
    return [line for line in said if line]


def _school() -> Any:
    """The module that builds classes, or None outside of a clone."""
    if not (ROOT / "tests" / "school.py").is_file():
        return None
    sys.path.insert(0, os.fspath(ROOT / "tests"))
    return importlib.import_module("sample_class")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m graders.batch.benchmark", description=__doc__)
    parser.add_argument("--size", type=int, default=500, help="submissions in the class (500)")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="workers (the cores of this machine)"
    )
    parser.add_argument("--kills", type=int, default=0, help="kill and resume so often first (0)")
    parser.add_argument("--json", action="store_true", help="the figures as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
