"""Killed at any moment and started again, a batch ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sample_class
from wrong_parts import wrong_parts

from graders.batch.journal import Journal
from graders.sandbox.isolation.inside import process_tree

ROOT = Path(__file__).parents[2]
SEED = 11
UNGRADED = 3  # one hand-in of the class is no archive, which a person has to look at
PATIENCE = 120.0  # seconds, for what takes one or two: a guard against waiting forever


@dataclass(frozen=True)
class School:
    """A class on disk, what an undisturbed batch made of it, and how long that took."""

    folder: Path
    undisturbed: list[dict[str, Any]]
    seconds: float


def pupils() -> list[sample_class.Pupil]:
    """Some of every kind; none takes long."""
    found = [sample_class.stub(3, f"stub {number}", f"stub {number}") for number in range(6)]
    found += [
        sample_class.syntax_error(3, f"typo {number}", f"typo {number}") for number in range(3)
    ]
    chosen = [
        part for part in wrong_parts(3) if part.name.startswith(("match_", "evict_", "insert_"))
    ]
    found += [sample_class.wrong(part.name, part, "wrong") for part in chosen[:4]]
    found += [sample_class.hostile("exits", "os_exit_at_import", "crash", "hostile")]
    found += [
        pupil
        for pupil in sample_class.broken_inputs(3)
        if pupil.name in ("cell gone", "no archive", "=1+1")
    ]
    return found


@pytest.fixture(scope="module")
def school_of(tmp_path_factory: pytest.TempPathFactory) -> School:
    home = tmp_path_factory.mktemp("school")
    sample_class.enrol(home / "class", pupils())
    start = time.monotonic()
    assert grading(home / "class", home / "undisturbed").wait() == UNGRADED
    return School(home / "class", verdicts(home / "undisturbed"), time.monotonic() - start)


def grading(submissions: Path, journal: Path) -> subprocess.Popen[bytes]:
    """`course grade`, as from a shell."""
    command = [
        sys.executable,
        "-m",
        "course.cli",
        "grade",
        str(submissions),
        "--journal",
        str(journal),
    ]
    command += ["--laws-only", "--jobs", "2", "--seed", str(SEED)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def verdicts(journal: Path) -> list[dict[str, Any]]:
    """Everything that was entered in the journal but how long it took."""
    return [
        {
            "student": row.student,
            "exercise": row.exercise,
            "key": row.key,
            "problem": row.problem,
            "seed": row.result.seed,
            "attempts": row.attempts,
            "laws": [
                (law.number, law.outcome.value, law.points, law.message) for law in row.result.laws
            ],
        }
        for row in Journal(journal).committed()
    ]


def killed(school_of: School, journal: Path, moment: float) -> None:
    """Start the batch and kill it after so many seconds."""
    batch = grading(school_of.folder, journal)
    with contextlib.suppress(subprocess.TimeoutExpired):
        batch.wait(moment)
        return  # it was done before
    batch.kill()
    batch.wait()
    all_gone(journal)


def kill_a_worker(batch: subprocess.Popen[bytes], journal: Path) -> None:
    """One that has a job in hand, as soon as there is one: at no moment that a clock tells."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert batch.poll() is None and time.monotonic() < deadline
        victims = [pid for pid in process_tree.descendants(batch.pid) if is_worker(pid)]
        if (journal / "leases").is_dir() and (
            busy := [pid for pid in victims if Journal(journal).held_by(pid)]
        ):
            os.kill(busy[0], signal.SIGKILL)
            return
        time.sleep(0.02)


def all_gone(journal: Path) -> None:
    """Workers end by themselves when their pool is gone, however it went."""
    deadline = time.monotonic() + PATIENCE
    while left := workers_of(journal):
        assert time.monotonic() < deadline, left
        time.sleep(0.05)


def is_worker(pid: int) -> bool:
    try:
        return b"graders.batch" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False


def workers_of(journal: Path) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and is_worker(int(entry.name)):
            try:
                command = (entry / "cmdline").read_bytes()
            except OSError:
                continue
            if os.fsencode(journal) in command:
                found.append(int(entry.name))
    return found


def survives(school_of: School, journal: Path, kills: int, chance: random.Random) -> None:
    for _ in range(kills):
        killed(school_of, journal, chance.uniform(0.05, 0.6 * school_of.seconds))
    assert grading(school_of.folder, journal).wait() == UNGRADED
    assert verdicts(journal) == school_of.undisturbed
    lines = [
        json.loads(line)["entry"] for line in (journal / "journal.jsonl").read_text().splitlines()
    ]
    assert len({(line["student"], line["exercise"]) for line in lines}) == len(lines)


def test_an_undisturbed_batch_is_right(school_of: School) -> None:
    found = {verdict["student"]: verdict for verdict in school_of.undisturbed}
    for pupil in pupils():
        laws = found[pupil.name]["laws"]
        assert pupil.outcome in {outcome for _, outcome, _, _ in laws}, pupil.name
        assert pupil.says in found[pupil.name]["problem"], pupil.name


def test_killed_twice_and_resumed(school_of: School, tmp_path: Path) -> None:
    survives(school_of, tmp_path / "journal", 2, random.Random(3))


def test_a_killed_worker_is_replaced(school_of: School, tmp_path: Path) -> None:
    with grading(school_of.folder, tmp_path / "journal") as batch:
        kill_a_worker(batch, tmp_path / "journal")
        assert batch.wait() == UNGRADED
    found = verdicts(tmp_path / "journal")
    assert len(found) == len(school_of.undisturbed)
    assert [verdict["laws"] for verdict in found] == [
        verdict["laws"] for verdict in school_of.undisturbed
    ]


@pytest.mark.slow
def test_killed_twenty_times_and_resumed(school_of: School, tmp_path: Path) -> None:
    chance = random.Random(20)
    for number in range(5):
        survives(school_of, tmp_path / f"journal {number}", 4, chance)


def test_an_interrupted_batch_says_how_to_go_on(school_of: School, tmp_path: Path) -> None:
    batch = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "course.cli",
            "grade",
            str(school_of.folder),
            "--journal",
            str(tmp_path / "journal"),
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    deadline = time.monotonic() + PATIENCE
    while not workers_of(tmp_path / "journal"):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    batch.send_signal(signal.SIGINT)
    _, said = batch.communicate(timeout=PATIENCE)
    assert batch.returncode == 130
    assert "type the same command again to go on" in said.decode()
    all_gone(tmp_path / "journal")
