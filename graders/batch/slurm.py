"""Slurm: a job array whose tasks are claiming workers. The script asks for nothing that the cluster
may not have."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys

from graders.batch.journal import Journal
from graders.batch.pool import environment

SCRIPT = "claim.sbatch"
LONGEST = 120.0  # seconds for the answer of sbatch


class NotSubmitted(Exception):
    """sbatch did not take the script; the text is one sentence."""


def script(journal: Journal, tasks: int, extra: tuple[str, ...] = ()) -> str:
    """The batch script: `tasks` array tasks, each one worker until nothing is left. extra: lines
    for #SBATCH.

    A task that is cut off or requeued costs nothing: what it had in hand is claimed by another.
    """
    root = journal.root.resolve()
    python_path = environment()["PYTHONPATH"]
    lines = [
        "#!/bin/bash",
        "#SBATCH --job-name=course-grade",
        f"#SBATCH --array=0-{max(1, tasks) - 1}",
        f"#SBATCH --output={_directive(str(root / 'logs'))}/slurm-%A_%a.log",
        "#SBATCH --requeue",
        *(f"#SBATCH {line}" for line in extra),
        "set -eu",
        f"export PYTHONPATH={shlex.quote(python_path)}",
        "export OMP_NUM_THREADS=1 MKL_NUM_THREADS=1",
        f"exec {shlex.join(command(journal))} < /dev/null",
    ]
    return "\n".join(lines) + "\n"


def command(journal: Journal) -> list[str]:
    """The claiming worker as any launcher starts it."""
    return [
        sys.executable,
        "-P",
        "-m",
        "course.cli",
        "grade",
        "--claim",
        "--journal",
        os.fspath(journal.root.resolve()),
    ]


def submit(journal: Journal, tasks: int, extra: tuple[str, ...] = ()) -> str:
    """Write the script into the journal and hand it to sbatch; the id of the job. Raises
    NotSubmitted."""
    path = journal.root / SCRIPT
    order = ["sbatch", "--parsable", os.fspath(path)]
    try:
        path.write_text(script(journal, tasks, extra), encoding="utf-8")
        done = subprocess.run(order, capture_output=True, text=True, check=False, timeout=LONGEST)
    except FileNotFoundError:
        raise NotSubmitted(
            f"there is no sbatch on this machine; submit {path} where there is one."
        ) from None
    except subprocess.TimeoutExpired:
        raise NotSubmitted(
            f"sbatch gave no answer for {LONGEST:g} s; submit {path} by hand."
        ) from None
    except OSError as trouble:
        where = trouble.filename or path
        raise NotSubmitted(
            f"{where} cannot be written or started: {os.strerror(trouble.errno or 0)}."
        ) from None
    if done.returncode:
        reason = " ".join(done.stderr.split())[:300] or f"it ended with status {done.returncode}"
        raise NotSubmitted(f"sbatch did not take {path}: {reason}")
    return done.stdout.strip().partition(";")[0]


def _directive(path: str) -> str:
    """A path as #SBATCH takes it: percent signs are its own, blanks need quotes."""
    path = path.replace("%", "%%")
    return f'"{path}"' if re.search(r"\s", path) else path
