"""The grader's side of one engine: start it, let it serve, time it, stop it.

The clock is the grader's; it runs from the first byte of a trace sent to the last byte of the
answer received. While another engine serves, this one is stopped with SIGSTOP, so that one engine
at a time uses the machine.
"""

from __future__ import annotations

import os
import re
import selectors
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any, Self

from graders.engines import environments
from graders.engines.catalogue import ADAPTERS, EngineKind
from graders.engines.engine_protocol import (
    EngineFailed,
    EngineFailure,
    LaunchConfig,
    ServedTrace,
    read_served,
)
from graders.engines.loaded import Loaded, read_loaded
from graders.sandbox.protocol import Caps, Conversation, ProtocolError
from graders.workloads import Trace
from reference_engine.peers import reasons

CAPS = Caps(size=64 << 20, values=8_000_000)
PASSED_ON = (
    "PATH",
    "HOME",
    "LANG",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "CUDA_HOME",
    "CUDA_VISIBLE_DEVICES",
)
OURS = Path(__file__).resolve().parents[2]
OURSELVES = {"PYTHONPATH": str(OURS), "OMP_WAIT_POLICY": "passive"}
FAREWELL = 5.0
LAST = 1 << 16
"""Bytes at the end of what an engine printed that are searched for its last words."""
BAR = re.compile(r"\d%\||[\u2588-\u258f]{2}|[#=]{8}|\d+/\d+ \[\d\d:\d\d")
MISSING = re.compile(r"(ModuleNotFound|Import)Error: ")
BROKEN = re.compile(
    r"No module named|ImportError|cannot open shared object|undefined symbol|init_fs_encoding"
)
HELD = re.compile(r"^VmHWM:\s+(\d+) kB", re.MULTILINE)
AGREEMENT, WARMING = 0.1, 30.0
"""Two runs that differ by less are taken as warm; seconds after which no further one is made."""


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What an engine said of itself. seconds: that its start took. loaded: what it proved to have
    loaded."""

    version: str
    flags: Mapping[str, Any]
    seconds: float
    loaded: Loaded


class Driver:
    """One engine in a process of its own. Use it in a `with`; leaving ends the process and all that
    it started.

    command: what is run, where it is not the adapter of `kind` in its environment. timeout: seconds
    that one trace may take. Every method that asks the engine raises EngineFailed; then the engine
    is gone.
    """

    def __init__(
        self,
        kind: EngineKind,
        job: LaunchConfig,
        *,
        command: Sequence[str] = (),
        timeout: float = 300.0,
    ) -> None:
        self.kind, self.job, self.timeout = kind, job, timeout
        self.started: EngineReport | None = None
        self._command = list(command) or [
            str(environments.python(kind)),
            str(ADAPTERS / "host.py"),
            str(kind.path),
        ]
        self._process: subprocess.Popen[bytes] | None = None
        self._log: IO[bytes] | None = None
        self._talk = Conversation(CAPS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def alive(self) -> bool:
        """It was started and nothing has gone wrong since."""
        return self._process is not None

    def start(self) -> EngineReport:
        """Start the process and load the model; what the engine says of itself.

        An engine that has loaded something else than the job's checkpoint fails, and one that does
        not say what.
        """
        log = self._log = tempfile.TemporaryFile()  # noqa: SIM115  (closed by stop)
        began = time.monotonic()
        try:
            self._process = subprocess.Popen(
                self._command,
                env=self._variables(),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                start_new_session=True,
            )
        except OSError as error:
            told = f"{self._command[0]} cannot be run: {error.strerror}"
            raise self._lost(EngineFailure.NOT_STARTED, f"{told}{self._remedy()}") from error
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            os.set_blocking(stream.fileno(), False)
        answer = self._ask({"do": "start", "job": self.job.as_json()}, self.kind.timeout)
        flags = answer.get("flags")
        self.started = EngineReport(
            str(answer.get("version", "")),
            flags if isinstance(flags, dict) else {},
            time.monotonic() - began,
            self._proven(answer),
        )
        return self.started

    def _proven(self, answer: Mapping[str, Any]) -> Loaded:
        """What it has loaded, which is what it was given."""
        loaded = read_loaded(answer.get("loaded"))
        if loaded is None:
            raise self._lost(EngineFailure.GARBLED, "it does not say which weights it has loaded")
        difference = loaded.difference(self.job.loaded)
        if difference:
            raise self._lost(EngineFailure.OTHER_MODEL, difference)
        return loaded

    def serve(self, trace: Trace, limit: float | None = None) -> ServedTrace:
        """Serve the trace; outputs have exactly the asked lengths. What the tokens are is not
        judged here."""
        used = self._used()
        requests = [[list(each.prompt), each.max_new, each.arrival] for each in trace.requests]
        began = time.monotonic()
        answer = self._ask({"do": "serve", "requests": requests}, limit or self.timeout)
        seconds = time.monotonic() - began
        try:
            return replace(read_served(answer, trace, seconds), cpu=self._used() - used)
        except EngineFailed as failed:
            raise self._lost(failed.failure, failed.sentence) from None

    def warm_up(self, trace: Trace, most: int = 3) -> Iterator[ServedTrace]:
        """Serve the trace until two runs in a row take equally long, `most` times at most; what was
        served each time.

        The prefixes are flushed before each. A slow engine is warm after `WARMING` seconds.
        """
        before, began = 0.0, time.monotonic()
        for _ in range(most):
            self.flush()
            served = self.serve(trace)
            yield served
            if (
                abs(served.seconds - before) <= AGREEMENT * before
                or time.monotonic() - began > WARMING
            ):
                return
            before = served.seconds

    def flush(self) -> None:
        """Let the engine forget the prefixes that it keeps."""
        self._ask({"do": "flush"}, self.timeout)

    def pause(self) -> None:
        """Stop its process group; it computes nothing until `resume`."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it run again."""
        self._signal(signal.SIGCONT)

    def stop(self, farewell: float = FAREWELL) -> None:
        """End the process and its group, after so many seconds by force. A second call does
        nothing."""
        process, self._process = self._process, None
        if process is not None:
            self._end(process, farewell)
        if self._log is not None:
            self._log.close()
            self._log = None

    # ---------------------------------------------------------------- inside

    def _ask(self, question: dict[str, Any], limit: float) -> dict[str, Any]:
        process = self._process
        if process is None:
            raise EngineFailed(EngineFailure.DIED, f"{self.kind.name} is not running")
        try:
            answer = self._exchange(process, self._talk.ask(question), time.monotonic() + limit)
        except (ProtocolError, RuntimeError) as error:
            remedy = self._remedy() if question["do"] == "start" else ""
            raise self._lost(EngineFailure.GARBLED, f"it sent {error}{remedy}") from None
        if answer is None:
            raise self._lost(
                EngineFailure.HUNG, f"it had not answered {question['do']!r} after {limit:.0f} s"
            )
        if "error" in answer:
            failure = (
                EngineFailure.NOT_STARTED if question["do"] == "start" else EngineFailure.REFUSED
            )
            raise self._lost(failure, self._told(str(answer["error"])))
        return answer

    def _told(self, error: str) -> str:
        """An engine's error in a line; what a package lacks is a fault of its environment.

        Where another of its processes printed an exception before, that one is told too: it says
        why.
        """
        line = next(
            (line.strip() for line in error.splitlines() if line.strip()), "it did not say why"
        )
        others = [
            each for each in reasons.of_log(self._printed()) if each.partition(": ")[2] not in line
        ]
        missing = MISSING.match(line)
        if missing:
            return f"{line[missing.end() :]}{self._remedy()}"
        return f"{line}; one of its processes printed {others[-1]}" if others else line

    def _remedy(self) -> str:
        """What helps when its environment is broken; our own has none of its own."""
        return (
            f"; `course engines install {self.kind.name} --fresh` makes it anew"
            if self.kind.distribution
            else ""
        )

    def _exchange(
        self, process: subprocess.Popen[bytes], frame: bytes, deadline: float
    ) -> dict[str, Any] | None:
        """Send the frame and hear the answer; None when the deadline has passed."""
        assert process.stdin is not None and process.stdout is not None
        rest = memoryview(frame)
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdin, selectors.EVENT_WRITE)
            selector.register(process.stdout, selectors.EVENT_READ)
            while (left := deadline - time.monotonic()) > 0:
                for key, _ in selector.select(left):
                    if key.fileobj is process.stdin:
                        rest = rest[self._send(process, rest) :]
                        if not rest:
                            selector.unregister(process.stdin)
                    elif (answer := self._hear(process)) is not None:
                        return answer
        return None

    def _send(self, process: subprocess.Popen[bytes], rest: memoryview) -> int:
        assert process.stdin is not None
        try:
            return os.write(process.stdin.fileno(), rest[: 1 << 16])
        except BrokenPipeError:
            with suppress(BlockingIOError):
                # what it printed in place of listening says more than its death
                self._hear(process)
            raise self._dead(process) from None

    def _hear(self, process: subprocess.Popen[bytes]) -> dict[str, Any] | None:
        assert process.stdout is not None
        data = os.read(process.stdout.fileno(), 1 << 20)
        if not data:
            raise self._dead(process)
        return self._talk.hear(data)

    def _dead(self, process: subprocess.Popen[bytes]) -> EngineFailed:
        try:
            status = process.wait(FAREWELL)
        except subprocess.TimeoutExpired:
            return self._lost(EngineFailure.DIED, "it closed its output without an answer")
        how = (
            f"was killed by {signal.Signals(-status).name}"
            if status < 0
            else f"ended with status {status}"
        )
        words = self._last_words()
        remedy = self._remedy() if self.started is None and BROKEN.search(words) else ""
        return self._lost(EngineFailure.DIED, f"it {how}; {words}{remedy}")

    def _lost(self, failure: EngineFailure, sentence: str) -> EngineFailed:
        """The failure to raise, after the process was ended."""
        self.stop(farewell=0.0)
        return EngineFailed(failure, f"{self.kind.name} {failure}: {sentence}")

    def _last_words(self) -> str:
        """The exception that it printed last, else the last line that it printed."""
        printed = self._printed()
        line = reasons.last(printed) or last_line(printed)[:200]
        return f"the last thing it printed: {line}" if line else "it printed nothing that says why"

    def _printed(self) -> str:
        """The end of what the engine printed."""
        if self._log is None:
            return ""
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - LAST))
        return self._log.read().decode(errors="replace")

    def _variables(self) -> dict[str, str]:
        """A clean environment: what the machine needs, what the engine needs, the threads."""
        variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        variables["PATH"] = f"{Path(self._command[0]).parent}:{variables.get('PATH', os.defpath)}"
        variables |= {
            name: str(self.job.threads) for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
        }
        return variables | ({} if self.kind.distribution else OURSELVES) | dict(self.kind.variables)

    @property
    def peak(self) -> int:
        """Bytes of memory that its processes held, each at its own worst moment; 0 where there is
        no /proc."""
        held = 0
        for folder, _ in self._group():
            with suppress(OSError):
                found = HELD.search((folder / "status").read_text())
                held += int(found[1]) << 10 if found else 0
        return held

    def _used(self) -> float:
        """Seconds of processors used so far by the processes of the group; 0 where there is no
        /proc."""
        ticks = sum(sum(map(int, fields[11:13])) for _, fields in self._group())
        return ticks / os.sysconf("SC_CLK_TCK")

    def _group(self) -> Iterator[tuple[Path, list[str]]]:
        """The processes of its group: a folder of /proc, and the fields of its `stat` from the
        third on."""
        for path in Path("/proc").glob("[0-9]*/stat"):
            with suppress(OSError):
                fields = path.read_text().rpartition(")")[2].split()
                if self._process is not None and int(fields[2]) == self._process.pid:
                    yield path.parent, fields

    def _signal(self, number: signal.Signals) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, number)

    def _end(self, process: subprocess.Popen[bytes], farewell: float) -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGCONT)
        assert process.stdin is not None and process.stdout is not None
        with suppress(OSError):
            process.stdin.close()  # its host takes this as the wish to stop
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(farewell)
        finally:  # a second Ctrl-C ends the farewell, not the killing
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            process.stdout.close()


def last_line(text: str) -> str:
    """The last line of what was printed that is no progress bar; "" when there is none."""
    lines = [line.strip() for line in text.split("\n")]
    return next(
        (line for line in reversed(lines) if line and "\r" not in line and not BAR.search(line)), ""
    )
