"""The compiled library is found or built once, and its absence has a reason and costs nothing but speed."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Type

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.llama.cpu_runner import CpuRunner
from reference_engine.model import load_model
from reference_engine.native import library
from reference_engine.native.runner import NativeRunner
from reference_engine.parts import Parts
from reference_engine.slots import Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler

Compiler = Callable[[str], None]
PROMPT = [3, 1, 4]


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine on which nothing was built yet."""
    monkeypatch.delenv(library.SWITCH, raising=False)
    monkeypatch.setattr(library, "BUILT", tmp_path / "built")
    monkeypatch.setattr(library, "CACHE", tmp_path / "cache")
    forget()


def forget() -> None:
    library._location.cache_clear()
    library.library.cache_clear()


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """Makes a script the machine's compiler. It notes its runs in `runs`."""

    def become(script: str) -> None:
        path = tmp_path / "c++"
        path.write_text(f'#!/bin/sh\necho run >> "{tmp_path}/runs"\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(library, "_compiler", lambda: str(path))

    return become


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def say() -> tuple[type, list[int]]:
    """Which runner an engine gets, and what it says."""
    engine = new_engine()
    return type(engine.runner), engine.generate([Request(0, PROMPT, 12)])[0]


def new_engine() -> Engine:
    return Engine(load_model("random:tiny"), Parts(BlockManager, Scheduler), num_blocks=20, block_size=4)


def serve() -> tuple[type, bool]:
    """Which runner an engine gets, and whether its text is greedy."""
    runner, output = say()
    return runner, oracle.replay(load_model("random:tiny"), PROMPT, output) is None


def test_it_is_built_once_and_found_by_the_next_process(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = library._compiler()
    if real is None:
        pytest.skip("this machine has no C++ compiler")
    compiler(f'exec {real} "$@"')
    assert serve() == (NativeRunner, True)
    assert library.reason() == ""
    built = library.location()
    assert built is not None and built.parent == tmp_path / "built"
    assert [path.name for path in built.parent.iterdir()] == [built.name]
    forget()
    assert library.location() == built and runs(tmp_path) == 1
    monkeypatch.setattr(library, "_processor", lambda: "another")
    forget()
    assert library.location() != built and runs(tmp_path) == 2


def test_without_a_compiler_the_engine_runs_on_torch_and_the_doctor_says_so(
    course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(library, "_compiler", lambda: None)
    assert serve() == (CpuRunner, True)
    monkeypatch.setattr("course.commands.doctor._device", list)
    monkeypatch.setattr("course.commands.doctor._isolation", list)
    shown = course("doctor")
    assert shown.code == 0 and "This machine has no C++ compiler (c++, g++ or clang++)." in shown.out


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("echo 'vectors.h: no such thing' >&2; exit 1", "failed: vectors.h: no such thing"),
        ('while [ "$1" != -o ]; do shift; done; echo rubbish > "$2"', "cannot be loaded"),
        ("exec sleep 60", "failed"),
    ],
    ids=["fails", "makes rubbish", "hangs"],
)
def test_a_compiler_that_does_not_serve_is_named(
    tmp_path: Path, compiler: Compiler, monkeypatch: pytest.MonkeyPatch, script: str, reason: str
) -> None:
    monkeypatch.setattr(library, "PATIENCE", 0.5 if "sleep" in script else 20)
    compiler(script)
    assert serve() == (CpuRunner, True)
    assert reason in library.reason()
    assert not list((tmp_path / "built").iterdir())


def test_where_the_package_cannot_be_written_the_cache_takes_it(tmp_path: Path) -> None:
    (tmp_path / "built").write_text("a file, no folder")
    if library._compiler() is None:
        pytest.skip("this machine has no C++ compiler")
    location = library.location()
    assert location is not None and location.parent == tmp_path / "cache"
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("a file, no folder")
    forget()
    assert library.location() is None
    assert library.reason() == "No folder for compiled code can be written."


def test_the_switch_turns_it_off_or_names_the_one_to_load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.SWITCH, "0")
    assert serve() == (CpuRunner, True)
    forget()
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF and nothing else")
    monkeypatch.setenv(library.SWITCH, str(broken))
    assert serve() == (CpuRunner, True)
    assert not (tmp_path / "built").exists()


def test_a_process_that_was_forked_from_one_with_threads_serves_too() -> None:
    code = """
import os, torch
torch.set_num_threads(2)
from test_native_library import new_engine, say
another, first = new_engine(), say()[1]
child = os.fork()  # torch itself cannot make weights in it
if child == 0:
    os._exit(0 if list(another.stream([3, 1, 4], 12)) == first else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-c", "import sys; sys.path[:0] = ['.', 'tests']\n" + code]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout.split() == ["0"], done.stderr
