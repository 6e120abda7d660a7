"""A class entered in nbgrader's gradebook, killed at any moment and typed again: as if nothing had
happened.

Journal, leases, workers and gradebook are the real ones; a cheap judge gives the points.
"""

from __future__ import annotations

import csv
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import cheap_judge
import pytest

pytest.importorskip("nbgrader")

from course.nbgrader_glue import course_folder, notebook
from course.targets import solution_file, stub_of
from course.workspace import installed_root
from graders.registry.catalogue import catalogue

pytestmark = pytest.mark.slow

EXERCISE = catalogue(3)
SLUG = EXERCISE.slug
STUDENTS = 500
KILLS = 20
TIMES = re.compile(r"\d+(\.\d+)? (µs|ms|s)\b")
ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": os.pathsep.join(map(str, (cheap_judge.HOME, installed_root()))),
}


def grading(home: Path) -> subprocess.Popen[bytes]:
    """`course grade`, as an instructor types it."""
    order = [
        sys.executable,
        "-m",
        "course.cli",
        "grade",
        "submitted",
        "--exercise",
        "3",
        "--laws-only",
    ]
    order += ["--seed", "1", "--jobs", "2", "--nbgrader", "."]
    silent = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    return subprocess.Popen(order, cwd=home, env=ENVIRONMENT, start_new_session=True, **silent)


def class_in(home: Path) -> Path:
    """A course with its assignment generated and handed in by everybody: a notebook, a file or a
    stub, in turn."""
    course_folder.make(home, [EXERCISE], "kill")
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    private = {
        f"JUPYTER_{name}_DIR": str(home / ".jupyter" / name)
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    order = [sys.executable, "-m", "nbgrader", "generate_assignment", SLUG]
    subprocess.run(
        order,
        cwd=home,
        env={**ENVIRONMENT, **private, "PATH": path},
        capture_output=True,
        check=True,
    )
    solved, stub = solution_file(EXERCISE).read_text(encoding="utf-8"), stub_of(EXERCISE)
    sheet = notebook.release(EXERCISE)
    cell = next(cell for cell in sheet["cells"] if cell["id"] == EXERCISE.slot)
    for number in range(STUDENTS):
        folder = home / "submitted" / f"student {number}" / SLUG
        folder.mkdir(parents=True)
        text = f"{stub if number % 5 == 4 else solved}# {number}\n"
        if number % 2:
            (folder / EXERCISE.file_name).write_text(text, encoding="utf-8")
        else:
            cell["source"] = text
            (folder / f"{SLUG}.ipynb").write_text(notebook.text(sheet), encoding="utf-8")
    return home


def contents(home: Path) -> tuple[list[tuple[object, ...]], dict[str, str]]:
    """Every score in the gradebook, and every autograded notebook without how long things took."""
    book = sqlite3.connect(home / "gradebook.db")
    assert book.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    query = (
        "SELECT submitted_assignment.student_id, base_cell.name, grade.auto_score, grade.manual_score,"
        " grade.extra_credit, grade.needs_manual_grade, submitted_assignment.timestamp"
        " FROM grade JOIN base_cell ON grade.cell_id = base_cell.id"
        " JOIN submitted_notebook ON grade.notebook_id = submitted_notebook.id"
        " JOIN submitted_assignment ON submitted_notebook.assignment_id = submitted_assignment.id"
        " ORDER BY 1, 2"
    )
    texts = {
        path.parts[-3]: path.read_text(encoding="utf-8")
        for path in home.glob("autograded/*/*/*.ipynb")
    }
    return book.execute(query).fetchall(), {
        name: TIMES.sub("some time", text) for name, text in texts.items()
    }


def logged(home: Path) -> dict[tuple[str, str], str]:
    """The last score of every cell that the log of changes tells of."""
    with (home / "score_changes.csv").open(encoding="utf-8", newline="") as file:
        return {(row["student"], row["cell"]): row["after"] for row in csv.DictReader(file)}


def judged(home: Path) -> int:
    """How many parts have a result in the journal."""
    return sum(1 for _ in (home / "submitted.journal" / "results").glob("*.json"))


def lines(home: Path) -> list[tuple[str, float]]:
    """Who has how many points, line by line of the journal."""
    written = (
        (home / "submitted.journal" / "journal.jsonl").read_text(encoding="utf-8").splitlines()
    )
    return sorted(
        (entry["student"], entry["points"])
        for entry in (json.loads(line)["entry"] for line in written)
    )


def entered(home: Path) -> int:
    """How many students' scores are in the gradebook, or are being entered: asking it would wait
    for its writer."""
    return len(os.listdir(home / "autograded")) if (home / "autograded").is_dir() else 0


def killed(home: Path, reached: Callable[[Path], int], count: int, moment: float) -> int:
    """Grade until so many are there and a moment longer, kill it, and say how many are there then."""
    batch = grading(home)
    while reached(home) < count:
        assert batch.poll() is None, "it ended before it could be killed"
        time.sleep(0.005)
    time.sleep(moment)
    os.killpg(batch.pid, signal.SIGKILL)
    batch.wait()
    return reached(home)


def test_killed_twenty_times_the_gradebook_is_that_of_an_undisturbed_run(tmp_path: Path) -> None:
    """Half of the kills fall while parts are judged, and half while scores are entered."""
    undisturbed = class_in(tmp_path / "undisturbed")
    home = Path(shutil.copytree(undisturbed, tmp_path / "killed"))
    assert grading(undisturbed).wait() == 0
    expected = contents(undisturbed)
    assert len(expected[1]) == STUDENTS and len(expected[0]) == STUDENTS * (len(EXERCISE.laws) + 2)
    chance = random.Random(20)
    for reached in (judged, entered):
        for number in range(KILLS // 2):
            there = killed(
                home, reached, 1 + number * STUDENTS // (KILLS // 2), chance.uniform(0, 0.02)
            )
            assert 0 < there < STUDENTS
    assert grading(home).wait() == 0
    assert contents(home) == expected
    assert logged(home) == logged(undisturbed)
    assert lines(home) == lines(undisturbed)
