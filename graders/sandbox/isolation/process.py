"""A worker process: started at a level of isolation, watched by a supervisor, ended with everything
it started.

Between the grader and the worker stands the supervisor (`inside/supervisor.py`), which never runs
the submission's code. Three channels lead there: the wire (a socket, questions and answers), the
output (a pipe, what the part prints) and the control (a socket to the supervisor: the level, the
worker's pid, how it died).
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Collection, Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from graders.sandbox.isolation import bubblewrap, cleanup
from graders.sandbox.isolation.inside import privileges, process_tree
from graders.sandbox.isolation.inside.rmtree import remove
from graders.sandbox.isolation.levels import HIGHEST, LEVELS
from graders.sandbox.isolation.limits import Limits
from graders.sandbox.isolation.visible_files import HOME, ROOT, contents
from reference_engine.native import library

STARTING = 60.0  # seconds that a machine under load may take to start a process
ENDING = 10.0
REST = 0.02
MESSAGE = 1 << 16
CREDENTIALS = struct.Struct("3i")
WITHOUT_NAMESPACES = LEVELS[:2]
OUT_OF_MEMORY = "out of memory"
_MAIN = Path(__file__).parent / "inside" / "main.py"


class MachineFault(Exception):
    """Our fault or the machine's, never the submission's: nothing is graded. The text is one
    clause."""


class CannotStart(MachineFault):
    """The worker could not be started. refused: level -> why it could not be had."""

    def __init__(self, text: str, refused: Mapping[str, str] | None = None) -> None:
        super().__init__(text)
        self.refused = dict(refused or {})


class WorkerLost(MachineFault):
    """The worker is gone by no doing of its own: the machine ran out of memory, or its supervisor
    was killed."""


class Process:
    """A worker that runs. Use `spawn`.

    box: its folder. wire: the grader's end of the socket. output: file descriptor, read end.
    control: readable once the worker has died. death: the same, whatever keeps its keeper from
    telling; -1 for none. worker: pid of the process that runs the part. level: "L3". locks: what
    protects the grader, in words. refused: level -> why it could not be had. reason: why the worker
    was ended, if the supervisor ended it.
    """

    def __init__(
        self,
        supervisor: subprocess.Popen[bytes],
        wire: socket.socket,
        output: int,
        control: socket.socket,
        box: Path,
    ) -> None:
        self.wire = wire
        self.output = output
        self.control = control
        self.reason = ""
        self.worker = 0
        self.level = ""
        self.locks: tuple[str, ...] = ()
        self.refused: dict[str, str] = {}
        self._supervisor = supervisor
        self.box = box
        self._spent = 0.0
        self._stopped = self._ended = False
        self.death = -1
        self.wrapped = False

    def wait_until_ready(self) -> None:
        """Until the worker is locked up and listens. CannotStart with the reason if it never will."""
        deadline = time.monotonic() + STARTING
        while not (self.worker and self.level):
            message, pid = self._message(deadline - time.monotonic())
            if "ready" in message:
                self.worker = pid
                # an old kernel, or it is gone already: its keeper will tell
                with contextlib.suppress(OSError):
                    self.death = os.pidfd_open(pid)
            elif "level" in message:
                self.level, self.locks, self.refused = (
                    message["level"],
                    tuple(message["locks"]),
                    message["refused"],
                )
            else:
                self.end()
                refused = message.get("refused", {})
                reasons = "; ".join(f"{level}: {why}" for level, why in refused.items())
                raise CannotStart(
                    f"the worker process did not start ({reasons or 'no sign of life'})", refused
                )

    def exit_status(self) -> int | None:
        """How the worker died, once `control` has become readable: its exit code, negative for a
        signal, None unknown.

        Lost when it was not the worker's doing.
        """
        message, _ = self._message(ENDING)
        if "exit" not in message:
            raise WorkerLost("the process that watches over the worker was killed")
        if message["why"] == OUT_OF_MEMORY:
            raise WorkerLost("the machine ran out of memory")
        self.reason = message["why"]
        status: int | None = message["exit"]
        return status

    def cpu_seconds(self) -> float:
        """CPU time used by the worker so far, read from outside of it."""
        with contextlib.suppress(OSError):
            self._spent = _cpu_clock(self.worker)
        return self._spent

    def tree_seconds(self) -> float:
        """CPU time used so far by the keeper, the worker and what it started: by those that live."""
        spent = 0.0
        for pid in (
            ()
            if self._ended
            else (self._supervisor.pid, *process_tree.descendants(self._supervisor.pid))
        ):
            with contextlib.suppress(OSError):
                spent += _cpu_clock(pid)
        return spent

    def rest(self) -> None:
        """Wait until the worker waits for us, a moment at most: one that goes on computing is not
        waited for.

        Where processors are few, whoever looked all the while would keep it from getting there.
        """
        until = time.monotonic() + REST
        with (
            contextlib.suppress(OSError, IndexError),
            open(f"/proc/{self.worker}/stat", "rb", buffering=0) as file,
        ):
            while time.monotonic() < until and file.read().rpartition(b") ")[2][:1] == b"R":
                os.sched_yield()
                file.seek(0)

    def delayed_seconds(self) -> float:
        """How long the worker so far was ready to run and had no processor."""
        return held_up(str(self.worker))

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """The worker, all that it started and its keeper stand still meanwhile, whatever they were
        about to do.

        In bubblewrap they do not: nobody would wake them after the grader's death.
        """
        if self.wrapped or self._stopped:
            yield
            return
        keeper = self._supervisor.pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(keeper, signal.SIGSTOP)
        stopped = process_tree.stop_all(keeper)
        try:
            yield
        finally:
            process_tree.go_on((keeper, *stopped))

    def hurry(self) -> None:
        """The worker has ended: whatever else there is of it stands still, so that its keeper gets
        to say how.

        Where there are namespaces whoever tells is among them, and no part reaches that.
        """
        if not self._ended and self.level in WITHOUT_NAMESPACES:
            process_tree.stop_all(self._supervisor.pid)
            process_tree.go_on((self._supervisor.pid,))

    def stop(self) -> None:
        """Nothing of the worker runs any more, whatever it does about that; only `end` may follow."""
        if not self._ended:
            self._stopped = True
            process_tree.stop_all(self._supervisor.pid)

    def end(self) -> None:
        """Kill the worker and everything it started; returns when the tree is dead and its folder
        is gone."""
        if self._ended:
            return
        self.stop()  # first: nothing may keep the supervisor from its work
        self._ended = True
        with contextlib.suppress(OSError):
            self.control.shutdown(socket.SHUT_WR)
        if not self._kept():
            cleanup.end(self.box)
        self.wire.close()
        self.control.close()
        os.close(self.output)
        if self.death >= 0:
            os.close(self.death)
        remove(self.box)

    def _kept(self) -> bool:
        """Whether the supervisor says that the tree is dead; it is gone afterwards, whatever the
        worker did to it."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._supervisor.pid, signal.SIGCONT)
        try:
            return self._supervisor.wait(ENDING) == 0
        except subprocess.TimeoutExpired:
            self._supervisor.kill()
            self._supervisor.wait()
            return False

    def _message(self, timeout: float) -> tuple[dict[str, Any], int]:
        """The next message and the pid that sent it; an empty one if nothing more is said."""
        if not select.select([self.control], [], [], max(0.0, timeout))[0]:
            return {}, 0
        try:
            data, extra, _, _ = self.control.recvmsg(MESSAGE, socket.CMSG_SPACE(CREDENTIALS.size))
        except ConnectionError:
            return {}, 0
        message: dict[str, Any] = json.loads(data) if data else {}
        return message, CREDENTIALS.unpack(extra[0][2])[0] if extra else 0


def _cpu_clock(pid: int) -> float:
    """CPU time of a process. OSError if there is none."""
    return time.clock_gettime((~pid << 3) | 2)


def held_up(task: str = "thread-self") -> float:
    """How long a process, or this thread, so far was ready to run and had no processor; 0 where the
    kernel does not say."""
    with (
        contextlib.suppress(OSError, ValueError, IndexError),
        open(f"/proc/{task}/schedstat", "rb") as file,
    ):
        return int(file.read().split()[1]) / 1e9
    return 0.0


def spawn(
    level: str = HIGHEST, limits: Limits | None = None, *, without: Collection[str] = ()
) -> Process:
    """Start a worker at this level of isolation, or at the highest that the machine allows.

    without: locks to do without, as a machine that lacks them would: "namespaces", "landlock",
    "seccomp", "uid", "bubblewrap". CannotStart if the machine does not let us; ValueError for a
    name that is no level.
    """
    if level not in (HIGHEST, *LEVELS):
        raise ValueError(f"no isolation level {level!r}")
    limits = limits or Limits()
    levels = [*reversed(LEVELS)] if level == HIGHEST else [level]
    wrap = (
        ""
        if {"bubblewrap", "namespaces"} & set(without) or os.geteuid() == 0
        else bubblewrap.program()
    )
    if wrap and "L4" in levels:
        return _start(["L2", "L1"], limits, without, wrap)
    return _start(levels, limits, without)


def _start(levels: list[str], limits: Limits, without: Collection[str], wrap: str = "") -> Process:
    """One worker at the first of `levels` that can be had, inside bubblewrap if `wrap` names its
    program."""
    wire, their_wire = socket.socketpair()
    control, their_control = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    control.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
    output, their_output = os.pipe()
    ours, theirs = (wire, control), (their_wire, their_control)
    box: Path | None = None
    try:
        box = Path(tempfile.mkdtemp(prefix="kitchen-")).resolve()
        config = _config(levels, limits, without, box) | {
            "wire": theirs[0].fileno(),
            "control": theirs[1].fileno(),
        }
        command = bubblewrap.command(wrap, box, limits) if wrap else [sys.executable]
        supervisor = subprocess.Popen(
            [*command, "-I", "-S", "-X", "utf8", str(_MAIN), json.dumps(config)],
            stdin=subprocess.DEVNULL,
            stdout=their_output,
            stderr=their_output,
            pass_fds=[end.fileno() for end in theirs],
            cwd=box,
            env=_environment(box, limits),
            start_new_session=True,
        )
    except OSError as trouble:
        for end in ours:
            end.close()
        os.close(output)
        if box is not None:
            remove(box)
        raise CannotStart(f"the worker process did not start: {trouble.strerror}") from trouble
    finally:
        for end in theirs:
            end.close()
        os.close(their_output)
    process = Process(supervisor, wire, output, control, box)
    process.wait_until_ready()
    if wrap:
        process.wrapped = True
        process.level, process.locks = "L4", ("bubblewrap", *process.locks)
    if process.level == "L1":
        privileges.hide()
    return process


def _config(
    levels: list[str], limits: Limits, without: Collection[str], box: Path
) -> dict[str, Any]:
    """What the supervisor is told; see `inside/supervisor.py`."""
    return {
        "levels": levels,
        "without": sorted(without),
        "box": str(box),
        "home": str(HOME),
        "root": str(ROOT),
        **asdict(contents(limits)),
        "rlimits": dict(limits.rlimits),
        "memory": limits.resident,
        "tasks": limits.most_tasks,
        "disk": limits.disk,
        "files": limits.files,
        "programs": limits.gpu,
    }


def _environment(box: Path, limits: Limits) -> dict[str, str]:
    """An allow-list: nothing of the grader's own environment. Compiled code is what the grader
    itself would load."""
    caches = (
        "XDG_CACHE_HOME",
        "TRITON_CACHE_DIR",
        "TORCHINDUCTOR_CACHE_DIR",
        "CUDA_CACHE_PATH",
        "MPLCONFIGDIR",
    )
    own = {name: str(box) for name in ("HOME", "TMPDIR", *caches)}
    own[library.SWITCH] = str(library.chosen() or "0") if limits.packages else "0"
    return {"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8", "OMP_WAIT_POLICY": "passive", **own}
