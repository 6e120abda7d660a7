"""Elsewhere than here: a Slurm job array and a Ray cluster bring the same verdicts as the workers
of this machine."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
import sample_class
from wrong_parts import wrong_part

from graders.batch import batch, slurm
from graders.batch.discovery import Discovery
from graders.batch.jobs import Options
from graders.batch.journal import Journal
from graders.reports import words

ROOT = Path(__file__).parents[4]
PATIENCE = 300.0  # seconds, for what takes a few: a guard against waiting forever
SLURM = Path(__file__).parents[3] / "slurm"
STATES = {"ada": "fail", "bob": "fail", "cyd": "fail", "eve": "fail"}


@pytest.fixture
def submissions(tmp_path: Path) -> Path:
    pupils = [
        sample_class.stub(3, "ada", "a"),
        sample_class.syntax_error(3, "bob", "b"),
        sample_class.wrong("cyd", wrong_part(3, "match_stores"), "c"),
    ]
    sample_class.enrol(
        tmp_path / "a class", [*pupils, sample_class.archive(3, "eve", "nothing", "fail")]
    )
    return tmp_path / "a class"


def course(*arguments: str | Path, **variables: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "course.cli", "grade", *map(str, arguments)]
    environment = {**os.environ, **variables}
    return subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, check=False, env=environment
    )


def states(journal: Journal) -> dict[str, str]:
    return {row.student: words.state(row) for row in journal.rows(journal.plan())}


# ---------------------------------------------------------------- slurm


def test_the_script_is_one_that_bash_and_sbatch_take(submissions: Path, tmp_path: Path) -> None:
    journal = Journal(tmp_path / "it's 100% a journal")
    batch.plan(journal, Discovery().all([submissions]), Options(), 1)
    text = slurm.script(journal, 3, ("--partition=gpu --gres=gpu:1",))
    assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0
    assert "#SBATCH --array=0-2" in text
    assert "100%% a journal" in text
    assert text.index("#SBATCH --partition=gpu") < text.index("set -eu")


def test_a_job_array_grades_the_class(submissions: Path, tmp_path: Path) -> None:
    journal = tmp_path / "the journal"
    path = f"{SLURM}{os.pathsep}{os.environ['PATH']}"
    order = (submissions, "--laws-only", "--seed", "1", "--journal", journal)
    done = course(*order, "--launcher", "slurm", "--jobs", "2", PATH=path)
    assert done.returncode == 0, done.stderr
    assert "4 submissions to judge" in done.stdout
    settled(journal)
    assert len(list((journal / "logs").glob("slurm-*_[01].log"))) == 2
    assert course("--journal", journal, "--launcher", "none").returncode == 0
    assert states(Journal(journal)) == STATES
    again = course(*order, "--launcher", "slurm", PATH=path)
    assert "Everything is judged already." in again.stdout


def holder(journal: Path) -> int:
    """The process that holds some job of the batch now."""
    deadline = time.monotonic() + PATIENCE
    while True:
        assert time.monotonic() < deadline
        for path in (journal / "leases").glob("*.*"):
            with contextlib.suppress(OSError, ValueError):
                return int(json.loads(path.read_text())[2])
        time.sleep(0.005)


def settled(journal: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while Journal(journal).pending(Journal(journal).plan()):
        assert time.monotonic() < deadline, [
            log.read_text() for log in (journal / "logs").iterdir()
        ]
        time.sleep(0.05)


@pytest.mark.parametrize("tasks", [1, 2])
def test_what_a_dead_node_had_in_hand_is_graded_by_another_task_or_the_next_run(
    submissions: Path, tmp_path: Path, tasks: int
) -> None:
    """With two tasks the other one takes over; with one the batch waits for the command to be typed
    again."""
    journal = tmp_path / "journal"
    path = f"{SLURM}{os.pathsep}{os.environ['PATH']}"
    order = (submissions, "--laws-only", "--seed", "1", "--journal", journal, "--launcher", "slurm")
    assert course(*order, "--jobs", str(tasks), PATH=path).returncode == 0
    os.kill(holder(journal), signal.SIGKILL)
    if tasks == 1:
        left = len(Journal(journal).pending(Journal(journal).plan()))
        again = course(*order, "--jobs", "1", PATH=path)
        assert again.returncode == 0 and f"{left} submissions to judge" in again.stdout
    settled(journal)
    assert course("--journal", journal, "--launcher", "none").returncode == 0
    assert states(Journal(journal)) == STATES
    lines = (journal / "journal.jsonl").read_text().splitlines()
    assert len(lines) == len(STATES)


def test_what_sbatch_refuses_is_one_sentence(submissions: Path, tmp_path: Path) -> None:
    path = f"{SLURM}{os.pathsep}{os.environ['PATH']}"
    order = (submissions, "--journal", tmp_path / "journal", "--launcher", "slurm")
    refused = course(*order, "--launcher-option", "--nonsense=1", PATH=path)
    assert refused.returncode == 3
    assert "unrecognized option '--nonsense=1'" in refused.stderr
    missing = course(*order, PATH=str(Path(sys.executable).parent))
    assert missing.returncode == 3
    assert "there is no sbatch on this machine" in missing.stderr


# ---------------------------------------------------------------- ray


@pytest.mark.slow
def test_a_ray_cluster_grades_the_class(submissions: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    journal = tmp_path / "journal"
    done = course(
        submissions, "--laws-only", "--journal", journal, "--launcher", "ray", "--jobs", "2"
    )
    assert done.returncode == 0, done.stderr + "".join(
        log.read_text() for log in (journal / "logs").iterdir()
    )
    assert "4 rows: 4 fail." in done.stdout
    assert states(Journal(journal)) == STATES


@pytest.mark.slow
def test_ray_outlives_the_death_of_a_claiming_worker(submissions: Path, tmp_path: Path) -> None:
    ray = pytest.importorskip("ray")
    from graders.batch import ray_cluster

    made = Journal(tmp_path / "journal")
    options = Options(laws_only=True)
    plan = batch.plan(made, Discovery((), options).all([submissions]), options, 1)
    (made.root / "leases" / f"{plan.jobs[0].key}.0").write_text('["gone", "boot", 1, "1"]')
    os.utime(made.root / "leases" / f"{plan.jobs[0].key}.0", (0, 0))  # of a node that died long ago
    assert ray_cluster.run(made, 2) == [0, 0]
    assert not ray.is_initialized()
    assert states(made) == STATES


def test_without_ray_the_command_says_what_to_install(submissions: Path, tmp_path: Path) -> None:
    (tmp_path / "empty" / "ray").mkdir(parents=True)
    (tmp_path / "empty" / "ray" / "__init__.py").write_text("raise ImportError('no ray')")
    order = (submissions, "--journal", tmp_path / "journal", "--launcher", "ray")
    done = course(*order, PYTHONPATH=str(tmp_path / "empty"))
    assert done.returncode == 3
    assert "pip install 'inference-kitchen[ray]'" in done.stderr


def test_a_cluster_that_nobody_listens_at_is_told_at_once() -> None:
    """Ray itself waits for ten minutes."""
    from graders.batch import ray_cluster

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        with pytest.raises(ray_cluster.NoRay, match="no Ray cluster can be had at ray://127"):
            ray_cluster._begin(None, f"ray://127.0.0.1:{taken.getsockname()[1]}")


def test_whatever_keeps_a_cluster_from_starting_is_one_sentence() -> None:
    from graders.batch import ray_cluster

    class Slow:
        def init(self, **_: object) -> None:
            raise TimeoutError("the node did not start\nin time")

    with pytest.raises(ray_cluster.NoRay, match=r"at this machine: the node did not start\.$"):
        ray_cluster._begin(Slow(), None)
