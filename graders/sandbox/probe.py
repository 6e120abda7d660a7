"""Tries every escape from inside a worker, at every level, and tells which are blocked and which
are open.

    for report in probe():
        report.level, report.reached, report.locks
        for attempt in report.attempts:
            attempt.name, attempt.blocked, attempt.detail

Nothing is taken from a table: each line is an attempt that was made just now (`escapes`), and where
it leaves a trace outside (a byte written, a packet, a process) the trace is what counts.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from graders.sandbox.isolation import cleanup
from graders.sandbox.isolation.levels import LEVELS, below
from graders.sandbox.isolation.process import CannotStart, spawn
from graders.sandbox.isolation.visible_files import HOME, ROOT
from graders.sandbox.worker import Tampered, Worker, WorkerDied, WorkerHung

SLOT = "block_manager"  # the driver that takes any method
ESCAPES = Path(__file__).with_name("escapes.py")
DAEMON = 120.0  # seconds that a leftover process would live
ARRIVING = 2.0  # seconds within which what got through shows outside: a datagram, on a busy machine
IPC_CREATE, IPC_REMOVE = 0o1600, 0
FAN_REPORT_FID = 0x200  # what fanotify gives to everybody


@dataclass(frozen=True, slots=True)
class EscapeResult:
    """One escape. name: what was reached for. since: the level that has to stop it. detail: what
    stopped it."""

    name: str
    since: str
    blocked: bool
    detail: str = ""


@dataclass(frozen=True, slots=True)
class LevelReport:
    """One level on this machine. refused: why it cannot be had (then nothing was tried). seconds:
    to start a worker."""

    level: str
    refused: str = ""
    locks: tuple[str, ...] = ()
    attempts: tuple[EscapeResult, ...] = ()
    seconds: float = 0.0

    @property
    def reached(self) -> bool:
        return not self.refused

    @property
    def holes(self) -> tuple[EscapeResult, ...]:
        """What this level should stop and did not."""
        return tuple(
            try_ for try_ in self.attempts if not try_.blocked and not below(self.level, try_.since)
        )


def highest(reports: Sequence[LevelReport]) -> str:
    """The level that `spawn` chooses here."""
    return max(report.level for report in reports if report.reached)


def probe(
    levels: Collection[str] = LEVELS, *, without: Collection[str] = ()
) -> tuple[LevelReport, ...]:
    """Try everything at each of `levels`, on this machine less the locks in `without` (see
    `spawn`)."""
    reports = [_probe(level, without) for level in sorted(levels, reverse=True)]
    return tuple(reversed(reports))


def _probe(level: str, without: Collection[str]) -> LevelReport:
    start = time.monotonic()
    try:
        process = spawn(level, without=without)
    except CannotStart as why:
        return LevelReport(level, refused=why.refused.get(level, str(why)))
    seconds = time.monotonic() - start
    process.end()
    attempts = []
    with Canaries() as bait, Worker(level, without=without) as neighbour:
        worker = _hostile(level, without)
        try:
            for escape in _escapes(bait, neighbour):
                worker = worker if worker.alive else _hostile(level, without)
                attempts.append(_try(worker, escape))
            attempts.append(_leave_a_process(worker if worker.alive else _hostile(level, without)))
        finally:
            worker.end()
    return LevelReport(level, locks=process.locks, attempts=tuple(attempts), seconds=seconds)


def _hostile(level: str, without: Collection[str]) -> Worker:
    worker = Worker(level, without=without)
    worker.ask("load", slot=SLOT, file=ESCAPES.name, source=ESCAPES.read_text(encoding="utf-8"))
    worker.ask("new", slot=SLOT, args=[2, 1], keywords={})
    return worker


@dataclass(frozen=True, slots=True)
class Escape:
    """method, target: of `escapes`. trace: whether it shows outside that it worked; where there is
    one, it decides."""

    name: str
    since: str
    method: str
    target: tuple[str | int | float, ...] = ()
    trace: Callable[[], bool] | None = None


def _escapes(bait: Canaries, neighbour: Worker) -> Iterator[Escape]:
    """Everything that is tried, in the order of the table."""
    grader = os.getpid()
    yield Escape("the grader's memory", "L1", "memory", (grader, *bait.memory()))
    yield Escape("the grader's environment", "L1", "environment", (grader,))
    yield Escape("the grader's open files", "L1", "descriptors")
    yield Escape("the grader's limits", "L2", "limit", (grader,))
    yield Escape("signals to the grader", "L2", "signal", (grader,))
    yield Escape(
        "specifications and laws", "L2", "read", (str(HOME.parent / "registry" / "law.py"),)
    )
    yield Escape("solutions", "L2", "list", (f"{ROOT}/solutions",))
    yield Escape("the oracle", "L2", "read", (f"{ROOT}/reference_engine/oracle.py",))
    yield Escape("files outside of its folder, to read", "L2", "read", (bait.file("secret"),))
    yield Escape("files outside of its folder, to list", "L2", "list", (bait.folder,))
    yield Escape(
        "files outside of its folder, to write",
        "L2",
        "write",
        (bait.file("results"),),
        bait.changed,
    )
    yield Escape(
        "rights of files outside of its folder",
        "L2",
        "rights",
        (bait.file("results"),),
        bait.rights_changed,
    )
    yield Escape("another submission's folder", "L2", "list", (str(neighbour.box),))
    yield Escape("another submission's process", "L2", "signal", (neighbour.pid,))
    yield Escape("another submission's memory", "L2", "environment", (neighbour.pid,))
    yield Escape("files left in shared memory", "L2", "write", (bait.shared,), bait.shared_changed)
    yield Escape("System V shared memory", "L2", "shared_memory", (bait.segment_key,))
    yield Escape("TCP to a server of this machine", "L2", "tcp", (bait.tcp_port,))
    yield Escape("UDP and name service", "L2", "udp", (bait.udp_port,), bait.packet_arrived)
    yield Escape("abstract sockets", "L2", "unix", (bait.abstract,))
    yield Escape(
        "datagrams from a pair of sockets",
        "L2",
        "datagram_of_a_pair",
        (bait.post,),
        bait.post_arrived,
    )
    yield Escape("notices about the files of others", "L2", "kernel", (300, 262, FAN_REPORT_FID, 0))
    yield Escape("writing out the disks of the machine", "L2", "kernel", (162, 81))
    yield Escape("sockets to the host of a virtual machine", "L2", "virtual_socket")
    yield Escape("sockets in the file system", "L2", "unix", (bait.file("socket"),))


def _try(worker: Worker, escape: Escape) -> EscapeResult:
    """Ask the worker to try it; whatever it does instead of answering is no escape."""
    try:
        answer = worker.ask(
            "call", calls=[["attempt", [escape.method, *escape.target]]], watch=None
        )
    except (WorkerDied, WorkerHung, Tampered) as trouble:
        return EscapeResult(
            escape.name,
            escape.since,
            not (escape.trace and escape.trace()),
            f"the worker {trouble}",
        )
    verdict, reason = (item["s"] for item in answer["calls"][0]["r"])
    if escape.trace is None:
        return EscapeResult(escape.name, escape.since, verdict == "blocked", reason)
    until = time.monotonic() + (ARRIVING if verdict == "open" else 0.0)
    while not (shows := escape.trace()) and time.monotonic() < until:
        time.sleep(0.01)
    return EscapeResult(escape.name, escape.since, not shows, reason)


def _leave_a_process(worker: Worker) -> EscapeResult:
    """Have it leave a detached process behind, end it, look for the process."""
    escape = Escape("a process that outlives the check", "L1", "daemon", (DAEMON,))
    attempt = _try(worker, escape)
    worker.end()
    survives = bool(cleanup.of(worker.box))
    cleanup.end(worker.box)
    return EscapeResult(
        escape.name,
        escape.since,
        not survives,
        attempt.detail or ("" if survives else "ended with it"),
    )


class Canaries:
    """What the escapes reach for: canaries outside of the worker, all removed at the end.

    folder: of "secret" and "results"; a server listens in it on "socket". tcp_port, udp_port,
    abstract, post (for datagrams): servers of this process. segment_key: shared memory of this
    process.
    """

    def __init__(self) -> None:
        self._canary = ctypes.create_string_buffer(secrets.token_bytes(32))
        self.folder = tempfile.mkdtemp(prefix="bait-")
        self.abstract = f"\0bait-{secrets.token_hex(8)}"
        for name in ("secret", "results"):
            Path(self.file(name)).write_bytes(b"bait")
        self.shared = f"/dev/shm/bait-{secrets.token_hex(8)}"
        with contextlib.suppress(OSError):
            Path(self.shared).write_bytes(b"bait")
        self._tcp = socket.create_server(("127.0.0.1", 0))
        self._udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._udp.bind(("127.0.0.1", 0))
        self._udp.setblocking(False)
        self.post = f"\0bait-{secrets.token_hex(8)}"
        self._post = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._post.bind(self.post)
        self._post.setblocking(False)
        self._unix = [_listen(self.abstract), _listen(self.file("socket"))]
        self.segment_key = secrets.randbelow(1 << 30) + 1
        self._segment = ctypes.CDLL(None).shmget(
            self.segment_key, ctypes.c_size_t(4096), IPC_CREATE
        )

    def __enter__(self) -> Canaries:
        return self

    def __exit__(self, *_: object) -> None:
        for server in (self._tcp, self._udp, self._post, *self._unix):
            server.close()
        ctypes.CDLL(None).shmctl(self._segment, IPC_REMOVE, None)
        shutil.rmtree(self.folder)
        Path(self.shared).unlink(missing_ok=True)

    def file(self, name: str) -> str:
        return os.path.join(self.folder, name)

    def memory(self) -> tuple[int, int]:
        """Where in this process 32 bytes lie that nobody else knows."""
        return ctypes.addressof(self._canary), 32

    @property
    def tcp_port(self) -> int:
        port: int = self._tcp.getsockname()[1]
        return port

    @property
    def udp_port(self) -> int:
        port: int = self._udp.getsockname()[1]
        return port

    def packet_arrived(self) -> bool:
        return _arrived(self._udp)

    def post_arrived(self) -> bool:
        return _arrived(self._post)

    def changed(self) -> bool:
        return Path(self.file("results")).read_bytes() != b"bait"

    def rights_changed(self) -> bool:
        return Path(self.file("results")).stat().st_mode & 0o777 == 0o604

    def shared_changed(self) -> bool:
        with contextlib.suppress(OSError):
            return Path(self.shared).read_bytes() != b"bait"
        return False


def _arrived(server: socket.socket) -> bool:
    with contextlib.suppress(BlockingIOError):
        return bool(server.recv(64))
    return False


def _listen(name: str) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    server.bind(name)
    server.listen(1)
    return server
