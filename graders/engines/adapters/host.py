"""Runs one adapter in the engine's own environment and speaks with the grader over its standard
input and output.

    python host.py ADAPTER.py

A frame is four bytes, big-endian, the length of what follows, then that many bytes of JSON, one
object. A question has an "id", which its answer repeats. Questions:

    {"do": "start", "job": {...}}                       -> {"version": "...", "flags": {...}, "loaded": {...}}
    {"do": "serve", "requests": [[prompt, max_new, arrival], ...]}
                                                        -> {"outputs": [[...]], "times": [[...]],
                                                        "seconds": s}
    {"do": "flush"}                                     -> {}      forget every prefix that was kept
    {"do": "stop"}                                      -> the process ends

`times` holds, for each token of an output, the seconds after the question came. `loaded` says what
the engine has in its memory: "parameters" and "dtype", as it counts them itself, and "weights", the
digest of the tensors in the job's folder, computed here. An exception becomes {"error": text}, one
line. An adapter defines `start(job)`, which returns an object with `version`, `flags`, `loaded()`,
`serve(requests, clock)` and `flush()`; `clock()` tells the seconds since the question. Needs
nothing but the standard library: it runs where our packages are not installed. Whatever an engine
prints goes to standard error, so that it cannot break a frame.
"""

import ctypes
import importlib.util
import json
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any, BinaryIO

PEERS = Path(__file__).resolve().parents[3] / "reference_engine" / "peers"
"""What runs in every engine's environment, this one's processes included."""
sys.path.insert(0, str(PEERS))
import loaded_weights  # type: ignore[import-not-found, unused-ignore]  # noqa: E402
import reasons  # type: ignore[import-not-found, unused-ignore]  # noqa: E402


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()

    def __call__(self) -> float:
        return time.perf_counter() - self._began

    def wait(self, moment: float) -> None:
        """Return when `moment` has come."""
        time.sleep(max(0.0, moment - self()))


def load(path: str) -> Any:
    """The adapter as a module."""
    spec = importlib.util.spec_from_file_location("adapter", path)
    if spec is None or spec.loader is None:
        raise SystemExit(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    sys.modules["adapter"] = module
    spec.loader.exec_module(module)
    return module


def read(stream: BinaryIO) -> dict[str, Any]:
    """The next question; {"do": "stop"} when the grader has gone."""
    header = stream.read(4)
    if len(header) < 4:
        return {"do": "stop"}
    question: dict[str, Any] = json.loads(stream.read(int.from_bytes(header, "big")))
    return question


def write(stream: BinaryIO, answer: dict[str, Any]) -> None:
    """Send one answer."""
    payload = json.dumps(answer, separators=(",", ":")).encode()
    stream.write(len(payload).to_bytes(4, "big") + payload)
    stream.flush()


def loaded(engine: Any, job: dict[str, Any]) -> dict[str, Any]:
    """What the engine serves: counted by itself, and the digest of the folder that it was given."""
    return {**engine.loaded(), "weights": loaded_weights.digest(job["model"])}


def serve(engine: Any, requests: list[list[Any]]) -> dict[str, Any]:
    """Let the engine serve; what came out and when."""
    clock = Clock()
    outputs, times = engine.serve(
        [(list(prompt), max_new, arrival) for prompt, max_new, arrival in requests], clock
    )
    return {"outputs": outputs, "times": times, "seconds": clock()}


def answer(adapter: Any, engine: Any, question: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """The engine from now on, and what to say."""
    if question["do"] == "start":
        engine = adapter.start(question["job"])
        return engine, {
            "version": engine.version,
            "flags": engine.flags,
            "loaded": loaded(engine, question["job"]),
        }
    if question["do"] == "serve":
        return engine, serve(engine, question["requests"])
    if question["do"] == "flush":
        engine.flush()
        return engine, {}
    raise ValueError(f"nobody knows how to {question['do']}")


def die_with_parent() -> None:
    """Let the kernel end this process when the grader is gone, even one that is stopped by a signal
    (Linux)."""
    library = ctypes.CDLL(None)
    if hasattr(library, "prctl"):
        library.prctl(1, signal.SIGKILL)


def main() -> None:
    """Answer questions until told to stop."""
    die_with_parent()
    source, target = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull, "rb") as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    adapter, engine = None, None
    while (question := read(source))["do"] != "stop":
        try:
            adapter = adapter or load(sys.argv[1])
            engine, said = answer(adapter, engine, question)
        except Exception as error:
            said = {"error": reasons.told(error)}
            sys.excepthook(*sys.exc_info())
        write(target, {"id": question["id"], **said})
    stop = getattr(engine, "stop", None)
    if stop is not None:
        stop()
    sys.stdout.flush()
    os._exit(0)  # some engines leave threads that never end


if __name__ == "__main__":
    main()
