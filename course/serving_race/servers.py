"""The servers that are asked: how each is started on this machine, and stopped with all that it
started."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from graders.engines import environments
from graders.engines.catalogue import ADAPTERS, KINDS
from graders.engines.environments import python
from reference_engine.waiter import CHECKPOINT

STARTING = 300.0
AS_GGUF = (
    "import sys; sys.path.insert(0, sys.argv[1]); import gguf_file; from pathlib import Path; "
)
AS_GGUF += "gguf_file.write(Path(sys.argv[2]), Path(sys.argv[3]))"


@dataclass(frozen=True, slots=True)
class Room:
    """What every server gets: seats, tokens of KV, tokens of the longest request, threads."""

    seats: int
    kv_tokens: int
    longest: int
    threads: int


@dataclass(frozen=True, slots=True)
class ServerKind:
    """A server. command: that runs it at a port. missing: why it cannot run here, "" when it can."""

    name: str
    command: Callable[[Room, int, Path], list[str]]
    missing: Callable[[], str] = lambda: ""
    variables: Mapping[str, str] = field(default_factory=dict)


def stand_ins(folder: Path) -> dict[str, str]:
    """Variables under which programs of vLLM and SGLang start that ask for what their environments
    lack.

    `vllm` asks for its version by a name under which its CPU build is not installed; SGLang's
    client imports `datasets` and what its engine imports, of which random prompts need nothing.
    """
    place = environments.folder(KINDS["vllm"])
    if not [*place.glob("lib/*/site-packages/vllm-*.dist-info")]:
        # by which it knows its platform
        version = f"{environments.read_stamp(place).get('version', '0')}+cpu"
        about = folder / f"vllm-{version}.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {version}\n")
    (folder / "datasets.py").write_text(
        "def load_dataset(*_, **__):\n    raise ImportError('datasets is not here')\n"
    )
    return {
        "PYTHONPATH": f"{folder}{os.pathsep}{ADAPTERS / 'sglang_stand_ins'}",
        "SGLANG_USE_CPU_ENGINE": "1",
    }


def _ours(room: Room, port: int, folder: Path) -> list[str]:
    sizes = ["--seats", str(room.seats), "--kv-tokens", str(room.kv_tokens)]
    return [sys.executable, "-m", "course", "serve", "--port", str(port), *sizes]


def _vllm(room: Room, port: int, folder: Path) -> list[str]:
    blocks = room.kv_tokens // 32 + 1  # its CPU attention asks for a multiple of 32
    sizes = {"max-model-len": room.longest, "max-num-seqs": room.seats, "block-size": 32}
    sizes |= {"num-gpu-blocks-override": blocks, "port": port}
    flags = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    program = python(KINDS["vllm"]).with_name("vllm")
    return [
        str(program),
        "serve",
        str(CHECKPOINT),
        "--served-model-name",
        "waiter",
        "--dtype",
        "float32",
        *flags,
    ]


def _llama(room: Room, port: int, folder: Path) -> list[str]:
    model = folder / "waiter.gguf"
    subprocess.run(
        [
            str(python(KINDS["llama.cpp"])),
            "-c",
            AS_GGUF,
            str(ADAPTERS),
            str(CHECKPOINT),
            str(model),
        ],
        check=True,
    )
    sizes = {
        "ctx-size": room.kv_tokens,
        "parallel": room.seats,
        "threads": room.threads,
        "port": port,
    }
    flags = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    kv = ["--cache-type-k", "f32", "--cache-type-v", "f32"]
    return [
        str(shutil.which("llama-server")),
        "--model",
        str(model),
        "--alias",
        "waiter",
        "--kv-unified",
        *kv,
        *flags,
    ]


def _no_vllm() -> str:
    kind = KINDS["vllm"]
    return "" if python(kind).exists() else "course engines install vllm brings it"


def _no_llama() -> str:
    if not shutil.which("llama-server"):
        return "there is no llama-server on the PATH"
    return (
        ""
        if python(KINDS["llama.cpp"]).exists()
        else "course engines install llama.cpp brings what writes its file"
    )


SERVERS = {
    each.name: each
    for each in (
        ServerKind("ours", _ours),
        ServerKind(
            "vllm", _vllm, _no_vllm, {**KINDS["vllm"].variables, "VLLM_CPU_KVCACHE_SPACE": "1"}
        ),
        ServerKind("llama.cpp", _llama, _no_llama),
    )
}


class Server:
    """A server that runs, paused but for the time in which it is asked."""

    def __init__(self, kind: ServerKind, port: int, process: subprocess.Popen[bytes]) -> None:
        self.name, self.port, self._process = kind.name, port, process

    @contextlib.contextmanager
    def awake(self) -> Iterator[int]:
        """Its port; it computes as long as the block runs."""
        os.killpg(self._process.pid, signal.SIGCONT)
        try:
            yield self.port
        finally:
            os.killpg(self._process.pid, signal.SIGSTOP)

    def cpu(self) -> float:
        """CPU seconds that all processes of it have spent; 0 where the system does not say."""
        ticks = 0
        for told in Path("/proc").glob("[0-9]*/stat"):
            with contextlib.suppress(OSError):  # it has ended
                fields = told.read_text().rpartition(")")[2].split()
                ticks += sum(map(int, fields[11:13])) if int(fields[2]) == self._process.pid else 0
        return ticks / os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def running(kind: ServerKind, room: Room) -> Iterator[Server]:
    """Started, and ended with all that it started. Raises RuntimeError, with its last words, when
    it does not start."""
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryFile() as log:
        port = _free_port()
        threads = {"OMP_NUM_THREADS": str(room.threads)}
        lacking = stand_ins(Path(folder)) if kind.name in KINDS else {}
        process = subprocess.Popen(
            kind.command(room, port, Path(folder)),
            env=os.environ | threads | lacking | dict(kind.variables),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            if not _comes_up(process, port):
                log.seek(0)
                words = log.read().decode(errors="replace").strip().split("\n")[-3:]
                raise RuntimeError(f"{kind.name} did not start: {' / '.join(words)}")
            os.killpg(process.pid, signal.SIGSTOP)
            yield Server(kind, port, process)
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _comes_up(process: subprocess.Popen[bytes], port: int) -> bool:
    until = time.monotonic() + STARTING
    while process.poll() is None and time.monotonic() < until:
        with (
            contextlib.suppress(urllib.error.URLError, OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5),
        ):
            return True
        time.sleep(0.2)
    return False


def _free_port() -> int:
    with socket.socket() as door:
        door.bind(("127.0.0.1", 0))
        port: int = door.getsockname()[1]
        return port
