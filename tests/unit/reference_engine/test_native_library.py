"""The compiled library is found or built once, and its absence has a reason and costs nothing but
speed."""

from __future__ import annotations

import ctypes
import os
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from conftest import Type

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.llama.cpu_runner import CpuRunner
from reference_engine.model_loader import load_model
from reference_engine.native import library
from reference_engine.native.runner import NativeRunner
from reference_engine.parts import Parts
from reference_engine.slots import Request
from solutions.ex1_paged_allocation.block_manager import BlockManager
from solutions.ex2_batching_scheduler.scheduler import Scheduler

Compiler = Callable[[str], None]
PROMPT = [3, 1, 4]
ANYBODY = 54_321  # a user id that nobody has


@pytest.fixture(autouse=True)
def nothing_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A machine on which nothing was built yet; what the test has found is forgotten for those that
    come after."""
    monkeypatch.delenv(library.SWITCH, raising=False)
    monkeypatch.setattr(library, "BUILT", tmp_path / "built")
    monkeypatch.setattr(library, "CACHE", tmp_path / "cache")
    # a quarter of the time to compile
    monkeypatch.setattr(library, "FLAGS", ("-O0", *library.FLAGS[1:]))
    forget()
    yield
    forget()


def forget() -> None:
    library._location.cache_clear()
    library.library.cache_clear()


@pytest.fixture
def real_compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The machine's own, given all the time it takes; skips where there is none, or none that makes
    any library."""
    monkeypatch.setattr(library, "PATIENCE", 1800)
    if not library._compiler():
        pytest.skip("this machine has no C++ compiler")
    found = library._compiler()
    (tmp_path / "any.cpp").write_text(
        "#include <thread>\nint any() { return std::thread::hardware_concurrency(); }\n"
    )
    command = [
        *found,
        "-std=c++17",
        "-fPIC",
        "-shared",
        "-pthread",
        "-o",
        tmp_path / "any.so",
        tmp_path / "any.cpp",
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"{found[0]} makes no libraries: {done.stderr[:200]}")
    return shlex.join(found)


@pytest.fixture
def compiler(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compiler:
    """Makes a script the machine's compiler. It notes its runs in `runs`."""

    def become(script: str) -> None:
        path = tmp_path / "c++"
        path.write_text(f'#!/bin/sh\necho run >> "{tmp_path}/runs"\n{script}\n')
        path.chmod(0o755)
        monkeypatch.setattr(library, "_compiler", lambda: (str(path),))

    return become


def runs(tmp_path: Path) -> int:
    return len((tmp_path / "runs").read_text().splitlines())


def say() -> tuple[type, list[int]]:
    """Which runner an engine gets, and what it says."""
    engine = new_engine()
    return type(engine.runner), engine.generate([Request(0, PROMPT, 12)])[0]


def new_engine() -> Engine:
    return Engine(
        load_model("random:tiny"), Parts(BlockManager, Scheduler), num_blocks=20, block_size=4
    )


def serve() -> tuple[type, bool]:
    """Which runner an engine gets, and whether its text is greedy."""
    runner, output = say()
    return runner, oracle.replay(load_model("random:tiny"), PROMPT, output) is None


def test_it_is_built_once_and_found_by_the_next_process(
    tmp_path: Path, real_compiler: str, compiler: Compiler, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiler(f'exec {real_compiler} "$@"')
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
    monkeypatch.setattr(library, "_compiler", tuple)
    assert serve() == (CpuRunner, True)
    monkeypatch.setattr("course.commands.doctor._device", list)
    monkeypatch.setattr("course.commands.doctor._isolation", list)
    shown = course("doctor")
    assert (
        shown.code == 0 and "This machine has no C++ compiler (c++, g++ or clang++)." in shown.out
    )


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


@pytest.mark.slow
@pytest.mark.usefixtures("real_compiler")
def test_where_the_package_cannot_be_written_the_cache_takes_it(tmp_path: Path) -> None:
    (tmp_path / "built").write_text("a file, no folder")
    location = library.location()
    assert location is not None and location.parent == tmp_path / "cache"
    (tmp_path / "cache").rename(tmp_path / "gone")
    (tmp_path / "cache").write_text("a file, no folder")
    forget()
    assert library.location() is None
    assert library.reason() == "No folder for compiled code can be written."


def test_the_switch_turns_it_off_or_names_the_one_to_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.SWITCH, "0")
    assert serve() == (CpuRunner, True)
    forget()
    broken = tmp_path / "broken.so"
    broken.write_bytes(b"\x7fELF and nothing else")
    monkeypatch.setenv(library.SWITCH, str(broken))
    assert serve() == (CpuRunner, True)
    assert not (tmp_path / "built").exists()


def test_a_library_made_from_other_sources_is_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    path = library.location()
    assert path is not None
    monkeypatch.setenv(library.SWITCH, str(path))
    forget()
    assert library.library() is not None

    class Step(ctypes.Structure):
        _fields_ = [*library.NativeStep._fields_, ("more", ctypes.c_int64)]

    monkeypatch.setattr(library, "NativeStep", Step)
    forget()
    assert library.library() is None
    assert "cannot be loaded" in library.reason()


def test_a_switch_is_named_as_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(library.SWITCH, "0")
    assert library.reason() == f"{library.SWITCH} switches it off."
    monkeypatch.setenv(library.SWITCH, str(tmp_path / "nowhere.so"))
    assert (
        library.reason()
        == f"{tmp_path}/nowhere.so, which {library.SWITCH} names, cannot be loaded."
    )


def test_a_user_without_a_home_runs_on_torch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "built").write_text("a file, no folder")
    monkeypatch.setattr(library, "CACHE", Path("~nobody-has-this-name/cache"))
    assert serve() == (CpuRunner, True)
    assert library.reason() == "No folder for compiled code can be written."


def test_a_folder_that_may_not_be_looked_into_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(f"[Errno 13] Permission denied: {path}")

    monkeypatch.setattr(Path, "exists", refuse)
    monkeypatch.setattr(library, "_compiler", tuple)
    assert library.location() is None


def test_one_failure_of_the_compiler_is_enough(tmp_path: Path, compiler: Compiler) -> None:
    compiler("exit 1")
    assert library.location() is None
    assert runs(tmp_path) == 3  # with the processor's own flags in two spellings, and without


def test_cxx_may_be_a_wrapper_with_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        shutil, "which", lambda word: f"/bin/{word}" if word in ("ccache", "g++") else None
    )
    monkeypatch.setenv("CXX", "ccache g++ -pipe")
    assert library._compiler() == ("ccache", "g++", "-pipe")
    monkeypatch.setenv("CXX", "absent")
    assert library._compiler() == ("g++",)


@pytest.mark.usefixtures("real_compiler")
def test_others_may_read_it_and_what_was_built_long_ago_goes(tmp_path: Path) -> None:
    (tmp_path / "built").mkdir()
    for name, age in (("old.so", library.FORGOTTEN + 60), ("young.so", library.FORGOTTEN - 3600)):
        (tmp_path / "built" / name).write_text("")
        os.utime(tmp_path / "built" / name, (time.time() - age,) * 2)
    before = os.umask(0o077)
    try:
        built = library.location()
    finally:
        os.umask(before)
    assert built is not None and built.stat().st_mode & 0o777 == 0o755
    assert built.parent.stat().st_mode & 0o777 == 0o755
    assert {path.name for path in built.parent.iterdir()} == {"young.so", built.name}


@pytest.mark.slow
def test_where_no_thread_can_be_had_one_does_the_work() -> None:
    """The system refuses threads to a user who has too many tasks; root is never refused."""
    code = f"""
import os, resource, torch
from test_native_library import Request, new_engine
torch.set_num_threads(1)  # torch itself ends where it gets no threads
engine = new_engine()
if os.getuid() == 0:
    os.setresuid({ANYBODY}, {ANYBODY}, {ANYBODY})
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
torch.set_num_threads(4)
print(*engine.generate([Request(0, [3, 1, 4], 12)])[0])
"""
    done = run_code(code)
    assert done.stdout.split() == [str(token) for token in say()[1]], done.stderr


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
    done = run_code(code)
    assert done.stdout.split() == ["0"], done.stderr


def run_code(code: str) -> subprocess.CompletedProcess[str]:
    here = Path(__file__).parent
    paths = [str(here), str(here.parents[1]), str(here.parents[2])]
    command = [sys.executable, "-c", f"import sys; sys.path[:0] = {paths!r}\n{code}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
