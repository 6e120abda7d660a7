"""`make quick` and `make test ROOM=…`: which tests a file, a room or a change has."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import rooms

ROOT = Path(__file__).parents[2]
FILES = (
    "unit/graders/batch/test_journal.py",
    "unit/graders/exercises/test_ex1.py",
    "unit/graders/sandbox/test_protocol.py",
    "unit/course/test_generate.py",
    "unit/reference_engine/test_gpu_runner.py",
    "unit/reference_engine/test_gpu_suite.py",
    "unit/reference_engine/test_kv_manager.py",
    "unit/test_pages.py",
    "system/test_actions.py",
)


@pytest.fixture
def tests(tmp_path: Path) -> Path:
    """A small folder of tests, of files that are empty."""
    for name in FILES:
        file = tmp_path / "tests" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    return tmp_path / "tests"


@pytest.mark.parametrize(
    ("path", "due"),
    [
        ("graders/batch", ["unit/graders/batch"]),
        ("graders/batch/lease.py", ["unit/graders/batch"]),
        ("graders/sandbox/isolation/inside/seccomp.py", ["unit/graders/sandbox"]),
        ("graders/exercises/ex1_paged_allocation/laws.py", ["unit/graders/exercises"]),
        ("graders/grading.py", ["unit/graders"]),
        ("reference_engine/gpu",
         ["unit/reference_engine/test_gpu_runner.py", "unit/reference_engine/test_gpu_suite.py"]),
        ("reference_engine/kv_manager.py", ["unit/reference_engine/test_kv_manager.py"]),
        ("reference_engine/sampler.py", ["unit/reference_engine"]),
        ("reference_engine/__init__.py", ["unit/reference_engine"]),
        ("solutions/ex1_paged_allocation/block_manager.py", ["unit/graders/exercises", "unit/course/test_generate.py"]),
        ("solutions/ex1_paged_allocation/README.md",
         ["unit/graders/exercises", "unit/course/test_generate.py", "unit/test_pages.py"]),
        ("tests/unit/graders/batch/test_journal.py", ["unit/graders/batch/test_journal.py"]),
        ("tests/unit/graders/batch/test_gone.py", []),
        (".github/workflows/judge.yml", ["system/test_actions.py"]),
        ("ARCHITECTURE.md", ["unit/test_pages.py"]),
        ("LICENSE", []),
    ],
)  # fmt: skip
def test_a_file_has_the_tests_of_its_room(tests: Path, path: str, due: list[str]) -> None:
    assert [found.relative_to(tests).as_posix() for found in rooms.tests_of(path, tests)] == due


def test_a_change_runs_no_test_twice(tests: Path) -> None:
    found = rooms.touched(
        ["graders/batch/lease.py", "tests/unit/graders/batch/test_journal.py", "LICENSE"], tests
    )
    assert found == [tests / "unit/graders/batch"]


def test_a_change_is_what_was_committed_edited_or_added_since_the_branch_began(
    tmp_path: Path,
) -> None:
    git = ["git", "-C", str(tmp_path), "-c", "user.name=x", "-c", "user.email=x@example.org"]

    def commit(name: str) -> None:
        (tmp_path / name).write_text(name)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-qm", name], check=True)

    subprocess.run([*git, "init", "-q", "-b", "main"], check=True)
    for name in ("old.py", "edited.py"):
        commit(name)
    subprocess.run([*git, "checkout", "-qb", "mine"], check=True)
    commit("committed.py")
    (tmp_path / "edited.py").write_text("other")
    (tmp_path / "new.py").touch()
    assert rooms.changed(tmp_path, "main") == ["committed.py", "edited.py", "new.py"]
    assert rooms.changed(tmp_path, "nowhere") == ["edited.py", "new.py"]


def test_every_room_with_tests_is_a_room_of_the_house() -> None:
    """A folder of tests that mirrors nothing would be run by no room."""
    for folder in (ROOT / "tests" / "unit").rglob("*"):
        if folder.is_dir() and folder.name != "__pycache__":
            assert (ROOT / folder.relative_to(ROOT / "tests" / "unit")).is_dir(), folder


@pytest.mark.parametrize(
    ("room", "sentence"),
    [
        ("graders/bach", "There is no room 'graders/bach'; name a folder such as graders/batch."),
        ("LICENSE", "LICENSE has no tests of its own; name a folder such as graders/batch."),
    ],
)
def test_what_is_no_room_is_said_so(room: str, sentence: str) -> None:
    """Nothing on stdout would have pytest run everything."""
    done = subprocess.run(
        [sys.executable, rooms.__file__, room],
        capture_output=True,
        text=True,
        check=False,
        cwd=ROOT,
    )
    assert (done.returncode, done.stdout, done.stderr) == (2, "", sentence + "\n")
