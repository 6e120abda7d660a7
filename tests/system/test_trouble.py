"""Trouble that is ours ends as ungraded with exit code 3, too little isolation with 4; a second run
completes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import Type
from hostile import suite

import graders

ROOT = Path(graders.__path__[0]).parent
WRONG = "from right import Right\n\n\nclass BlockManager(Right):\n    def admit(self, *_):\n        return 7\n"
RIGHT = "from right import Right\n\n\nclass BlockManager(Right):\n    pass\n"

# A grader whose folder for temporary files is on a disk of its own with no room for one more file.
FULL_DISK = """
import sys, tempfile

from graders.sandbox.isolation.inside import namespaces, system

place = sys.argv[1]
try:
    system.call("unshare", namespaces.NEWNS | (namespaces.NEWUSER if __import__("os").geteuid() else 0))
    namespaces._mount(None, "/", None, namespaces.MS_REC | namespaces.MS_PRIVATE)
    namespaces._mount("tmpfs", place, "tmpfs", 0, "size=4k,nr_inodes=1")
except OSError:
    place += "/that-is-not-there"  # where no disk can be made: as bad
tempfile.tempdir = place
from course.cli import run

sys.exit(run(sys.argv[2:]))
"""


@pytest.fixture
def right(tmp_path: Path) -> Path:
    path = tmp_path / "block_manager.py"
    path.write_text(suite.whole(RIGHT))
    return path


def test_a_disk_without_room_ends_in_3_and_the_next_run_completes(
    right: Path, tmp_path: Path, course: Type
) -> None:
    (tmp_path / "disk").mkdir()
    order = ["check", "1.1", "--using", str(right)]
    command = [sys.executable, "-c", FULL_DISK, str(tmp_path / "disk"), *order]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 3, done.stdout + done.stderr
    assert "Not graded: the worker process did not start" in done.stdout
    assert "Traceback" not in done.stdout + done.stderr
    assert course(*order).code == 0


def test_a_worker_that_cannot_start_ends_in_3_and_the_next_run_completes(
    right: Path, course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    order = ["check", "1.1", "--using", str(right)]
    with monkeypatch.context() as broken:
        broken.setattr(sys, "executable", "/bin/false")
        shown = course(*order)
    assert shown.code == 3
    assert "Not graded" in shown.out
    assert course(*order).code == 0


def test_a_grader_that_may_write_nothing_ends_in_3(right: Path) -> None:
    """RLIMIT_FSIZE 0: not even the files with which a worker is locked up."""
    script = "import resource, sys\nresource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))\n"
    script += "from course.cli import run\nsys.exit(run(sys.argv[1:]))"
    command = [sys.executable, "-c", script, "check", "1.1", "--using", str(right), "--json"]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment
    )
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (3, "ungraded")
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("text", "words"), [(RIGHT, "1 of 1 laws hold"), (WRONG, "0 of 1 laws hold")]
)
def test_a_verdict_below_the_required_level_is_advisory_and_ends_in_4(
    right: Path, course: Type, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    """As on a machine without user namespaces and without bubblewrap."""
    right.write_text(suite.whole(text))
    order = ["check", "1.1", "--using", str(right), "--require-isolation", "L3"]
    with suite.lacking("namespaces", "bubblewrap"):
        shown = course(*order)
    assert shown.code == 4
    assert "advisory" in shown.out
    assert words in shown.out


@pytest.mark.parametrize("mask", [0o027, 0o077])
def test_a_strict_umask_fails_nobody(right: Path, course: Type, mask: int) -> None:
    """As root the worker has another uid, which the folders made for it once kept out: a zero for
    everybody."""
    before = os.umask(mask)
    try:
        shown = course("check", "1.1", "--using", str(right))
    finally:
        os.umask(before)
    assert shown.code == 0, shown.out


def test_a_verdict_at_the_required_level_is_not_advisory(right: Path, course: Type) -> None:
    assert course("check", "1.1", "--using", str(right), "--require-isolation", "L1").code == 0
