"""Nobody may listen any more, or ever: the work is done all the same."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from course.errors import ExitCode, Problem
from course.output_stream import PatientStream

LIST = f"{sys.executable} -m course.cli list"


def test_a_reader_that_leaves_ends_nothing() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = PatientStream(os.fdopen(writing, "w", buffering=1, encoding="utf-8"))
    for _ in range(3):
        assert stream.write("a line\n") == 7
        stream.flush()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no disk that is always full")
def test_a_full_disk_is_one_sentence() -> None:
    stream = PatientStream(os.fdopen(os.open("/dev/full", os.O_WRONLY), "w", encoding="utf-8"))
    stream.write("x")
    with pytest.raises(Problem, match="cannot be written: No space left") as said:
        stream.flush()
    assert said.value.code is ExitCode.UNGRADED
    stream.write("x")
    stream.flush()


def test_stdout_may_be_closed(tmp_path: Path) -> None:
    run = subprocess.run(
        ["sh", "-c", f"{LIST} >&-"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert "stumbled" not in run.stderr and "Traceback" not in run.stderr
    assert run.returncode == 0, run.stderr
