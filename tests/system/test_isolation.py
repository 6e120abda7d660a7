"""Isolation: which level is reached, what a worker sees, how its tree ends, what is told when it
cannot start."""

from __future__ import annotations

import contextlib
import errno
import gc
import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import NoReturn

import costs
import pytest

import graders.grading
from graders import Outcome, grade
from graders.sandbox.isolation import (
    HIGHEST,
    LEVELS,
    CannotStart,
    Limits,
    WorkerLost,
    below,
    cleanup,
    process,
    spawn,
)
from graders.sandbox.isolation.inside import process_tree, seccomp, supervisor, visible_paths
from graders.sandbox.isolation.inside.rmtree import remove
from graders.sandbox.probe import highest, probe
from graders.sandbox.worker import Worker, WorkerDied
from reference_engine.native import library

ROOT = Path(graders.__path__[0]).parent
PATIENCE = 120.0  # seconds, for what takes none: a guard against waiting forever
MAKE = """
import os, socket

for make in (socket.socket, os.fork):
    try:
        make()
    except PermissionError:
        print("denied")
"""
PEEK = """
import os, sys


class BlockManager:
    def __init__(self, *_):
        pass

    def environment(self):
        return sorted(os.environ)

    def folder(self):
        return [os.getcwd(), os.environ["HOME"], os.environ["TMPDIR"]]

    def exists(self, path):
        return os.path.exists(path)

    def listing(self, path):
        return sorted(os.listdir(path))

    def path(self):
        return sys.path

    def readable(self, path):
        try:
            with open(path, "rb") as file:
                return bool(file.read())
        except OSError:
            return False
"""


@pytest.fixture
def peeking() -> Iterator[Worker]:
    """A worker at the highest level with a part in it that looks around."""
    with Worker(HIGHEST) as worker:
        assert worker.ask("load", slot="block_manager", file="peek.py", source=PEEK) == {}
        assert worker.ask("new", slot="block_manager", args=[2, 1], keywords={}) == {}
        yield worker


def seen(worker: Worker, method: str, *args: object) -> object:
    """What that method of the part returned, texts as texts."""
    value = worker.ask("call", calls=[[method, list(args)]], watch=None)["calls"][0]["r"]
    return [item["s"] for item in value] if type(value) is list else value


def right(folder: Path) -> Path:
    path = folder / "block_manager.py"
    path.write_text(
        (ROOT / "tests/hostile/right.py").read_text() + "\n\nclass BlockManager(Right):\n    pass\n"
    )
    return path


# ---------------------------------------------------------------- levels


@pytest.mark.parametrize("level", LEVELS)
def test_a_level_is_reached_in_full_or_refused_with_the_reason(level: str) -> None:
    try:
        process = spawn(level)
    except CannotStart as refused:
        assert refused.refused[level]
    else:
        process.end()
        assert process.level == level


def test_the_highest_level_is_the_best_that_can_be_had_alone() -> None:
    reached = []
    for level in LEVELS:
        try:
            process = spawn(level)
        except CannotStart:
            continue
        process.end()
        reached.append(level)
    process = spawn()
    process.end()
    assert process.level == max(reached)
    assert set(process.refused) == {level for level in LEVELS if level > process.level}


def test_without_user_namespaces_the_level_is_lower_and_says_why() -> None:
    process = spawn(without=["namespaces"])
    process.end()
    assert process.level in ("L1", "L2")
    assert process.refused["L3"] == "user namespaces are off"


def test_without_anything_l1_is_left() -> None:
    process = spawn(without=["namespaces", "landlock", "seccomp", "uid", "bubblewrap"])
    process.end()
    assert (process.level, process.locks) == ("L1", ())
    assert set(process.refused) == {"L2", "L3", "L4"}


def test_a_kernel_that_grants_no_namespaces_is_believed() -> None:
    """Not simulated: the grader runs in a user namespace in which no further one can be made."""
    script = """
import os, runpy, sys
from graders.sandbox.isolation.inside import namespaces, system
uid = os.geteuid()
try:
    system.call("unshare", namespaces.NEWUSER)
    for name, text in (("setgroups", "deny"), ("uid_map", f"1000 {uid} 1"), ("gid_map", f"1000 {os.getegid()} 1")):
        namespaces._write(f"/proc/self/{name}", text)
    namespaces._write("/proc/sys/user/max_user_namespaces", "0")
except OSError:
    pass
os.setuid(os.getuid())
from graders.sandbox.isolation.inside import privileges
privileges.drop()
from graders.sandbox.isolation import spawn
process = spawn()
process.end()
print(process.level, *process.refused)
from course.cli import run
print(run(["doctor", "--isolation"]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    reached, *_, code = done.stdout.split()
    assert reached in ("L1", "L2")
    assert {"L3", "L4"} <= set(done.stdout.splitlines()[0].split())
    assert (f"Chosen here: {reached}" in done.stdout, code) == (True, "0")


def test_a_name_that_is_no_level_is_refused() -> None:
    with pytest.raises(ValueError, match="L9"):
        spawn("L9")


def test_levels_compare() -> None:
    assert below("L1", "L3")
    assert not below("L3", "L3")
    with pytest.raises(ValueError, match="none"):
        below("none", "L1")


def test_the_result_names_the_level_and_is_advisory_below_the_required_one(tmp_path: Path) -> None:
    low = grade(1, right(tmp_path), only=["1.1"], isolation="L1", require="L3")
    assert (low.isolation, low.advisory, low.passed) == ("L1", True, True)
    best = grade(1, right(tmp_path), only=["1.1"], require="L1")
    assert (best.isolation in LEVELS, best.advisory) == (True, False)


def test_a_result_for_which_nothing_ran_is_not_advisory(tmp_path: Path) -> None:
    result = grade(1, tmp_path / "absent.py", only=["1.1"], require="L4")
    assert (result.isolation, result.advisory) == ("none", False)


# ---------------------------------------------------------------- the probe


def test_no_level_lets_through_what_it_should_stop() -> None:
    reports = probe()
    assert {report.level: [hole.name for hole in report.holes] for report in reports} == {
        name: [] for name in LEVELS
    }
    assert highest(reports) in LEVELS


def test_the_probe_finds_what_is_open_at_a_bare_l1() -> None:
    (report,) = probe(["L1"], without=["uid", "seccomp"])
    found = {attempt.name: attempt.blocked for attempt in report.attempts}
    assert not found["specifications and laws"]
    assert not found["files outside of its folder, to write"]
    assert not found["TCP to a server of this machine"]
    assert found["a process that outlives the check"]


def test_the_probe_sees_a_lock_that_is_missing() -> None:
    """Landlock alone lets datagrams out: the table must show it, or it shows nothing."""
    (report,) = probe(["L2"], without=["seccomp", "uid"])
    if report.reached:
        assert "UDP and name service" in [hole.name for hole in report.holes]


def test_the_table_in_plain_text_says_the_same() -> None:
    command = [sys.executable, "-m", "graders.sandbox", "L1", "L3", "--without", "namespaces"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "L3: user namespaces are off" in done.stdout
    assert "Chosen here: L1" in done.stdout


# ---------------------------------------------------------------- the box


def test_the_environment_is_an_allow_list(peeking: Worker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_TOKEN", "secret")
    names = seen(peeking, "environment")
    assert isinstance(names, list)
    assert set(names) <= {
        *("PATH", "LANG", "LC_CTYPE", "HOME", "TMPDIR", "XDG_CACHE_HOME", "TRITON_CACHE_DIR"),
        *(
            "TORCHINDUCTOR_CACHE_DIR",
            "CUDA_CACHE_PATH",
            "MPLCONFIGDIR",
            "PWD",
            "OLDPWD",
            "SHLVL",
            "OMP_WAIT_POLICY",
        ),
        "INFERENCE_KITCHEN_NATIVE",
    }


@pytest.mark.parametrize("switch", ["", "0", "/opt/own.so"])
def test_a_worker_with_an_engine_gets_the_compiled_library_that_the_grader_would_load(
    switch: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(library.SWITCH, switch)
    engine = process._environment(tmp_path, Limits(packages=True))[library.SWITCH]
    assert engine == (switch or str(library.location() or "0"))
    assert process._environment(tmp_path, Limits())[library.SWITCH] == "0"


def test_home_and_temporary_folder_are_the_box_which_goes_with_the_worker(peeking: Worker) -> None:
    folders = seen(peeking, "folder")
    assert folders == [str(peeking.box)] * 3
    assert peeking.box.exists()
    peeking.end()
    assert not peeking.box.exists()


@pytest.mark.parametrize(
    "without",
    [(), ("uid", "bubblewrap"), ("namespaces", "uid", "bubblewrap")],
    ids=["all", "own uid", "landlock"],
)
def test_further_files_can_be_read_and_their_neighbours_cannot(
    tmp_path: Path, without: tuple[str, ...]
) -> None:
    folder = tmp_path / "snapshot"
    folder.mkdir()
    for name in ("config.json", "secret.txt", "blob"):
        (folder / name).write_text("text")
    (folder / "model.safetensors").symlink_to("blob")
    shown = tuple(str(folder / name) for name in ("config.json", "model.safetensors"))
    with Worker(limits=Limits(readable=shown), without=without) as worker:
        if worker.level == "L1":
            pytest.skip("this machine hides no files")
        worker.ask("load", slot="block_manager", file="peek.py", source=PEEK)
        worker.ask("new", slot="block_manager", args=[2, 1], keywords={})
        names = ("config.json", "model.safetensors", "secret.txt")
        assert [seen(worker, "readable", str(folder / name)) for name in names] == [
            True,
            True,
            False,
        ]
        assert not seen(worker, "readable", str(ROOT / "graders" / "registry" / "law.py"))


def test_nothing_can_be_imported_but_the_standard_library(peeking: Worker) -> None:
    places = seen(peeking, "path")
    assert isinstance(places, list)
    assert not [
        place
        for place in places
        if place == str(ROOT) or place.endswith(("site-packages", "graders"))
    ]


@pytest.mark.parametrize(
    "name",
    [
        "solutions",
        "graders/registry/law.py",
        "graders/grading.py",
        "tests",
        "reference_engine/oracle.py",
    ],
)
def test_above_l2_the_answers_are_not_there(peeking: Worker, name: str) -> None:
    if peeking.level in ("L3", "L4"):
        assert seen(peeking, "exists", str(ROOT / name)) is False


def test_the_engine_is_there(peeking: Worker) -> None:
    assert seen(peeking, "exists", str(ROOT / "reference_engine/slots.py")) is True


# ---------------------------------------------------------------- trouble that is ours


def test_a_full_disk_leaves_the_part_ungraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(**_: object) -> str:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    path = right(tmp_path)
    monkeypatch.setattr(tempfile, "mkdtemp", full)
    result = grade(1, path, only=["1.1"])
    assert result.outcome is Outcome.UNGRADED
    assert (
        result.problem
        == "Not graded: the worker process did not start: No space left on device. Try again."
    )


def test_no_more_processes_leave_the_part_ungraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def exhausted(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    path = right(tmp_path)
    monkeypatch.setattr(subprocess, "Popen", exhausted)
    assert grade(1, path, only=["1.1"]).outcome is Outcome.UNGRADED


def test_an_interpreter_that_does_not_run_leaves_the_part_ungraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = right(tmp_path)
    monkeypatch.setattr(sys, "executable", "/bin/false")
    result = grade(1, path, only=["1.1"])
    assert result.outcome is Outcome.UNGRADED
    assert "no sign of life" in result.problem


def test_a_supervisor_killed_in_between_costs_another_worker_and_no_points(tmp_path: Path) -> None:
    def kill_supervisors(_: object) -> None:
        for pid in process_tree.descendants(os.getpid()):
            with contextlib.suppress(OSError):  # gone with the supervisor that was killed before
                if b"isolation/inside/main.py" in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)

    path = right(tmp_path)
    result = grade(1, path, only=["1.1", "1.2"], on_law=kill_supervisors)
    assert [law.outcome for law in result.laws] == [Outcome.PASS, Outcome.PASS]


def test_a_machine_out_of_memory_is_believed_where_no_other_worker_lives_either(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel ends the worker; that it was for want of memory is the supervisor's word."""
    said = process.Process._message

    def for_want_of_memory(
        worker: process.Process, timeout: float
    ) -> tuple[dict[str, object], int]:
        message, pid = said(worker, timeout)
        return ({**message, "why": process.OUT_OF_MEMORY} if "exit" in message else message), pid

    dying = "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"
    path = tmp_path / "block_manager.py"
    path.write_text(dying + right(tmp_path).read_text())
    with monkeypatch.context() as scarce:
        scarce.setattr(process.Process, "_message", for_want_of_memory)
        result = grade(1, path, only=["1.1"])
        assert result.outcome is Outcome.CRASH
        assert "3 times the machine ran out of memory" in result.problem

        def lost(*_: object) -> NoReturn:
            raise WorkerLost("the machine ran out of memory")

        scarce.setattr(graders.grading, "Worker", lost)
        result = grade(1, path, only=["1.1"])
    assert result.outcome is Outcome.UNGRADED
    assert "the machine ran out of memory" in result.problem


@pytest.mark.skipif(os.geteuid() != 0, reason="only root gives the worker another uid")
def test_a_careful_umask_costs_nobody_a_point(tmp_path: Path) -> None:
    path, before = right(tmp_path), os.umask(0o027)
    try:
        result = grade(1, path, only=["1.1"])
    finally:
        os.umask(before)
    assert result.passed, result.problem


def test_a_worker_that_cannot_import_what_is_ours_leaves_the_part_ungraded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(worker: Worker, do: str, **fields: object) -> dict[str, object]:
        if do == "driver":
            raise WorkerDied("exited with status 1")
        return {}

    monkeypatch.setattr(Worker, "ask", dies)
    result = grade(1, right(tmp_path), only=["1.1"])
    assert result.outcome is Outcome.UNGRADED
    assert "before it had met the part" in result.problem


def test_whoever_stands_still_computes_nothing_until_he_may_go_on() -> None:
    with Worker() as worker:
        assert worker.ask("load", slot="block_manager", file="spin.py", source=SPIN) == {}
        with worker.still():
            until = time.monotonic() + 20
            # a signal has to find its way to a process that waits for a processor
            while _states(worker) != {b"T"}:
                assert time.monotonic() < until
            before = worker.cpu_seconds()
            burnt = time.thread_time()
            sum(range(10**7))
            burnt = time.thread_time() - burnt
            # The kernel may book the last microseconds before the stop after it.
            assert worker.cpu_seconds() - before < 0.1 * burnt
        assert worker.ask("driver", slot="block_manager") == {}


def _states(worker: Worker) -> set[bytes]:
    """Of the worker and its supervisor, as the kernel has them."""
    supervisor = worker._process._supervisor.pid
    tree = [supervisor, *process_tree.descendants(supervisor)]
    return {Path(f"/proc/{pid}/stat").read_bytes().rpartition(b") ")[2][:1] for pid in tree}


def test_nothing_is_left_of_a_worker_that_could_not_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(sys, "executable", "/bin/false")
    gc.collect()  # what other tests have left open would be closed in between
    before = os.listdir("/proc/self/fd")
    with pytest.raises(CannotStart):
        spawn()
    assert list(tmp_path.iterdir()) == []
    assert len(os.listdir("/proc/self/fd")) <= len(before)


# ---------------------------------------------------------------- the end of a tree


@pytest.mark.parametrize("level", ["L1", HIGHEST])
def test_a_worker_ends_with_its_grader(level: str) -> None:
    script = f"""
import json, os, signal
from graders.sandbox.isolation import spawn
process = spawn({level!r})
print(json.dumps([process.worker, process._supervisor.pid, str(process.box)]), flush=True)
signal.pause()
"""
    grader = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert grader.stdout is not None
    *living, box = json.loads(grader.stdout.readline())
    watches = [os.pidfd_open(pid) for pid in living]
    grader.kill()
    grader.wait()
    for watch in watches:
        assert select.select([watch], [], [], PATIENCE)[0], (
            "the worker, or its supervisor, outlives the grader"
        )
        os.close(watch)
    grader.stdout.close()
    assert not Path(box).exists()


def test_a_stopped_supervisor_does_not_keep_its_worker_alive() -> None:
    process = spawn("L1")
    os.kill(process._supervisor.pid, signal.SIGSTOP)
    process.end()
    assert cleanup.of(process.box) == []


def test_a_part_that_stops_its_supervisor_again_and_again_does_not_hold_up_its_end(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The grader waited until it gave the supervisor up, with the machine's lock for timed laws in
    hand."""
    given_up: list[Path] = []
    monkeypatch.setattr(cleanup, "end", given_up.append)
    with Worker("L1", without=["seccomp", "uid"]) as worker:
        assert worker.ask("load", slot="block_manager", file="stop.py", source=STOPPING) == {}
    assert given_up == []


STOPPING = """
import os, signal

keeper = os.getppid()
for _ in range(3):
    if os.fork() == 0:
        while True:
            os.kill(keeper, signal.SIGSTOP)
"""


def test_ending_twice_is_ending_once() -> None:
    process = spawn("L1")
    process.end()
    process.end()
    assert not process.box.exists()


def test_what_was_started_in_a_folder_is_found_and_ended(tmp_path: Path) -> None:
    sleeper = subprocess.Popen(["sleep", "600"], cwd=tmp_path, start_new_session=True)
    assert cleanup.of(tmp_path) == [sleeper.pid]
    cleanup.end(tmp_path)
    assert sleeper.wait(PATIENCE) == -signal.SIGKILL


def test_what_is_started_with_the_folder_on_its_command_line_is_found(tmp_path: Path) -> None:
    """All that the supervisor starts inherits its command line, wherever it goes and whatever it
    forgets."""
    command = [sys.executable, "-c", "print(flush=True)\ninput()", str(tmp_path)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
    with subprocess.Popen(command, cwd="/", env={}, **pipes) as stray:  # type: ignore[call-overload]
        # just started, a process has no command line for a moment
        assert stray.stdout.readline() == b"\n"
        assert cleanup.of(tmp_path) == [stray.pid]
        cleanup.end(tmp_path)
    assert stray.returncode == -signal.SIGKILL


MAPPED = "import mmap\nheld = mmap.mmap(file.fileno(), 1 << 20)\nos.closerange(3, 64)\n"


@pytest.mark.parametrize("then", ["", MAPPED], ids=["open", "mapped"])
def test_a_file_that_no_folder_shows_is_counted_as_long_as_it_is(then: str, tmp_path: Path) -> None:
    script = "import os\nfile = open('hidden', 'w+b')\nos.unlink('hidden')\nfile.write(bytes(1 << 20))\nfile.flush()\n"
    before = process_tree.usage(os.getpid()).unnamed
    with subprocess.Popen(
        [sys.executable, "-c", script + then + "print(flush=True)\ninput()"],
        cwd=tmp_path,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as hiding:
        assert hiding.stdout is not None
        hiding.stdout.readline()
        assert 1 << 20 <= process_tree.usage(os.getpid()).unnamed - before < 3 << 20
        assert os.listdir(tmp_path) == []
        hiding.kill()


def test_the_tree_may_not_use_more_than_its_limits() -> None:
    balloon = 'import time\nheld = b"x" * (96 << 20)\nfor _ in range(200): time.sleep(0.1)'
    with (
        Worker(HIGHEST, Limits(memory=64 << 20)) as worker,
        pytest.raises(WorkerDied, match="more than 64 MiB of memory"),
    ):
        worker.ask("load", slot="block_manager", file="balloon.py", source=balloon)


@pytest.mark.parametrize(
    ("kib", "why"), [(63 << 10, "out of memory"), (65 << 10, "used more than 64 MiB of memory")]
)
def test_who_grew_beyond_its_limit_is_to_blame_when_the_machine_runs_out_of_memory(
    kib: int, why: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel may be quicker than the supervisor; ungraded is only what the part did not bring
    about."""
    monkeypatch.setattr(supervisor.resource, "getrusage", lambda _: SimpleNamespace(ru_maxrss=kib))
    assert supervisor._whose_memory({"memory": 64 << 20}) == why


def test_a_folder_is_counted_up_to_a_bound(tmp_path: Path) -> None:
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "file").write_bytes(bytes(10_000))
    size, files = process_tree.folder(str(tmp_path), 100)
    assert files == 2
    assert size >= 10_000
    for number in range(50):
        (tmp_path / f"{number}").touch()
    assert 10 < process_tree.folder(str(tmp_path), 10)[1] < 30


def test_a_folder_nested_too_deep_counts_as_too_many_files(tmp_path: Path) -> None:
    tmp_path.joinpath(*["d"] * (process_tree.DEEPEST + 2)).mkdir(parents=True)
    assert process_tree.folder(str(tmp_path), 100)[1] == 101


def nest(folder: Path, depth: int) -> None:
    """Folders in folders, deeper than any path can say."""
    place = os.open(folder, os.O_RDONLY)
    for _ in range(depth):
        os.mkdir("d", dir_fd=place)
        deeper = os.open("d", os.O_RDONLY, dir_fd=place)
        os.close(place)
        place = deeper
    os.close(place)


def test_a_folder_is_removed_whatever_was_made_of_it(tmp_path: Path) -> None:
    box, outside = tmp_path / "box", tmp_path / "outside"
    (box / "a/b").mkdir(parents=True)
    outside.mkdir()
    (outside / "file").write_text("kept")
    nest(box / "a", 3000)
    (box / "link").symlink_to(outside)
    (box / "a/file").symlink_to(outside / "file")
    os.mkfifo(box / "a/b/pipe")
    (box / "a/b").chmod(0)
    box.chmod(0o500)
    remove(box)
    assert not box.exists()
    assert (outside / "file").read_text() == "kept"


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir(mode=0o750)
    (outside / "file").write_text("kept")
    (tmp_path / "box").symlink_to(outside)
    remove(tmp_path / "box")
    assert (outside / "file").read_text() == "kept"
    assert outside.stat().st_mode & 0o777 == 0o750


# ---------------------------------------------------------------- views and filters


def shown(root: Path, *hidden: str) -> dict[str, bool]:
    entries = visible_paths.entries([str(root)], [str(root / name) for name in hidden])
    return {os.path.relpath(entry.path, root): entry.whole for entry in entries}


def test_a_folder_without_secrets_is_shown_whole(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    assert shown(tmp_path, "../nothing") == {".": True}


def test_a_secret_that_comes_later_is_not_shown_either(tmp_path: Path) -> None:
    """The grader writes the oracle's bytecode when it first imports it, perhaps while a worker
    runs."""
    (tmp_path / "a").mkdir()
    assert shown(tmp_path, "later") == {".": False, "a": True}


def test_a_folder_is_opened_up_only_where_something_is_hidden(tmp_path: Path) -> None:
    for name in ("a/secret", "a/open", "b/c"):
        (tmp_path / name).mkdir(parents=True)
    assert shown(tmp_path, "a/secret") == {".": False, "a": False, "a/open": True, "b": True}


def test_a_link_to_a_secret_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    assert shown(tmp_path, "secret") == {".": False}


def test_links_on_the_way_are_found(tmp_path: Path) -> None:
    (tmp_path / "real/deep").mkdir(parents=True)
    (tmp_path / "link").symlink_to("real")
    found, real = visible_paths.links(str(tmp_path / "link/deep"))
    assert (str(tmp_path / "link"), "real") in found
    assert real == os.path.realpath(tmp_path / "real/deep")


def decision(
    machine: str,
    number: int,
    argument: int = 0,
    *,
    second: int = 0,
    third: int = 0,
    audit: int | None = None,
    spawning: bool = False,
) -> int:
    """What the kernel would do with a system call: the filter, executed."""
    architecture = seccomp.ARCHITECTURES[machine]
    data = {seccomp.NUMBER: number, seccomp.AUDIT: audit or architecture.audit}
    data |= {
        seccomp.FIRST_ARGUMENT: argument,
        seccomp.SECOND_ARGUMENT: second,
        seccomp.THIRD_ARGUMENT: third,
    }
    program = list(seccomp.program(architecture, own=42, spawning=spawning))
    held = position = 0
    while True:
        code, true, false, operand = program[position]
        position += 1
        if code == seccomp.RETURN:
            return operand
        if code == seccomp.LOAD:
            held = data[operand]
            continue
        if code == seccomp.AND:
            held &= operand
            continue
        tests = {
            seccomp.EQUAL: held == operand,
            seccomp.AT_LEAST: held >= operand,
            seccomp.ANY_BIT: held & operand,
        }
        position += true if tests[code] else false


@pytest.mark.parametrize(("machine", "column"), [("x86_64", 0), ("aarch64", 1)])
def test_the_filter_decides_as_it_says(machine: str, column: int) -> None:
    allow, deny = seccomp.ALLOW, seccomp.DENY
    read, kill, clone = (
        (0, 63)[column],
        seccomp.TO_ITSELF_ONLY["kill"][column],
        seccomp.CLONE[column],
    )
    execve, socket = (59, 221)[column], seccomp.DENIED["socket"][column]
    assert decision(machine, read) == allow
    assert decision(machine, socket) == deny
    assert [decision(machine, kill, pid) for pid in (42, 0, 43, 1)] == [allow, allow, deny, deny]
    assert [decision(machine, clone, flags) for flags in (17, seccomp.CLONE_THREAD)] == [
        deny,
        allow,
    ]
    assert [decision(machine, clone, flags, spawning=True) for flags in (17, 0x10000000)] == [
        allow,
        deny,
    ]
    assert [decision(machine, execve, spawning=wanted) for wanted in (False, True)] == [deny, allow]
    fcntl, prctl = seccomp.FCNTL[column], seccomp.PRCTL[column]
    signals, locks = (10, 1024, 1026), (5, 6, 7, 36, 37, 38)
    assert [decision(machine, fcntl, 3, second=what) for what in (2, *signals, *locks)] == [
        allow
    ] + 9 * [deny]
    assert [
        decision(machine, fcntl, 3, second=what, spawning=True) for what in (*signals, 6)
    ] == 3 * [deny] + [allow]
    advice = seccomp.MADVISE[column]
    assert [decision(machine, advice, third=what) for what in (4, 20, 21)] == [allow, deny, deny]
    assert [decision(machine, prctl, what) for what in (15, seccomp.SET_DUMPABLE)] == [allow, deny]
    memory, pair = (319, 279)[column], seccomp.SOCKETPAIR[column]
    kinds = (1, 1 | 0o2000000, 2, 2 | 0o4000, 5)  # streams, datagrams, packets
    for wanted in (False, True):
        told = [decision(machine, pair, 1, second=kind, spawning=wanted) for kind in kinds]
        assert told == [allow, allow, deny, deny, deny]
        for name in ("fanotify_init", "sync", "syncfs", "fadvise64", "timer_create"):
            assert decision(machine, seccomp.DENIED[name][column], spawning=wanted) == deny
    assert [decision(machine, memory, spawning=wanted) for wanted in (False, True)] == [deny, allow]
    assert decision(machine, seccomp.CLONE3) == seccomp.UNKNOWN
    assert decision(machine, read, audit=0x40000003) == seccomp.KILL
    assert decision(machine, seccomp.X32 + socket) == deny
    everything = set(range(600)) - {*seccomp.ALLOWED[machine], seccomp.CLONE3}
    some = {numbers[column] for numbers in seccomp.TO_ITSELF_ONLY.values()} | {
        fcntl,
        prctl,
        pair,
        clone,
    }
    refused = {
        number
        for number in everything
        if decision(machine, number, 43, second=1) in (deny, seccomp.UNKNOWN)
    }
    # what is on no list is denied, also what is yet to come
    assert everything - refused == {fcntl, prctl, pair, advice}
    assert some <= everything


def test_the_numbers_of_this_machine_are_right() -> None:
    """`socket` and `fork` are denied by their own numbers: at L2 and above nothing gets a socket or
    a child."""
    with Worker(HIGHEST) as worker:
        if "seccomp" in worker.locks:
            assert worker.ask("load", slot="block_manager", file="make.py", source=MAKE) == {}
            assert worker.take_output() == "denied\ndenied\n"


SPIN = """
import threading


def spin():
    while True:
        pass


threading.Thread(target=spin, daemon=True).start()
"""

# ---------------------------------------------------------------- what it costs


@pytest.mark.slow
def test_isolation_adds_less_than_50_ms_to_a_check() -> None:
    """Against a process of its own and nothing else, in turns; a check of one law starts one
    worker."""
    medians = costs.checks(15)
    assert medians[HIGHEST] - medians[costs.NONE] < 0.05
    assert medians["L1"] - medians[costs.NONE] < 0.05


def test_cpu_time_is_read_when_the_worker_rests() -> None:
    """The kernel adds what a thread used when it stops; before that, a long call may look as if it
    had cost nothing."""
    deadline = time.monotonic() + PATIENCE
    with Worker("L1", Limits()) as worker:
        # it has started, and may be kept waiting before it waits
        while timed(worker._process.rest) >= process.REST:
            assert time.monotonic() < deadline
        os.kill(worker._process.worker, 0)
    spinning = [sys.executable, "-c", "print(flush=True)\nwhile True: pass"]
    with subprocess.Popen(spinning, stdout=subprocess.PIPE) as busy:
        assert busy.stdout is not None and busy.stdout.readline() == b"\n"
        state = SimpleNamespace(worker=busy.pid)
        waited = timed(lambda: process.Process.rest(state))  # type: ignore[arg-type]
        busy.kill()
    assert waited >= process.REST


def test_every_reading_of_the_cpu_time_waits_for_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    rested = []
    monkeypatch.setattr(process.Process, "rest", lambda self: rested.append(self))
    with Worker("L1", Limits()) as worker:
        before = len(rested)
        worker.cpu_seconds()
    assert len(rested) == before + 1


def timed(action: Callable[[], object]) -> float:
    start = time.monotonic()
    action()
    return time.monotonic() - start
