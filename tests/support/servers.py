"""Servers for tests: the waiter behind the endpoints, in this process, with parts that may be
wrong."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache

from starlette.testclient import TestClient

from course.playground import part_mix
from course.server import opening
from course.server.app import ApiServer
from course.server.engine_thread import EngineThread
from course.server.limits import Limits
from course.server.opening import EngineOptions, served_model
from reference_engine.engine import Engine
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts
from reference_engine.slots import Policy


@cache
def waiter() -> Model:
    """The model, loaded once."""
    return load_model("waiter")


@cache
def solved() -> Parts:
    """The solutions."""
    return part_mix.parts(part_mix.mix((), None))


@contextmanager
def open_server(
    parts: Parts | None = None,
    *,
    limits: Limits | None = None,
    policy: Policy = "fcfs",
    blocks: int = 200,
    seats: int = 8,
    stall: float = 30.0,
    files: tuple[str, ...] = (),
) -> Iterator[tuple[TestClient, EngineThread]]:
    """A client of a server that is open as long as the block runs, and its engine thread."""

    def make() -> Engine:
        own = parts or solved()
        speculator = part_mix.speculator(waiter(), own)
        return Engine(
            waiter(), own, num_blocks=blocks, max_seqs=seats, policy=policy, speculator=speculator
        )

    thread = EngineThread(make, files=files, stall=stall)
    model = served_model(waiter(), thread, EngineOptions(seats=seats, policy=policy))
    app = ApiServer(thread, model, limits or Limits())
    with TestClient(app, raise_server_exceptions=False) as client:
        yield client, thread


@contextmanager
def listening(
    limits: Limits | None = None, head_seconds: float = 20.0, fast: bool | None = None
) -> Iterator[tuple[int, EngineThread]]:
    """The port of a real server in a thread of this process, and its engine thread; drained at the
    end.

    fast: with httptools and uvloop, or without; None: as `course serve` would here.
    """
    import uvicorn

    from course.server.patient_protocol import patient_protocol

    loop = {None: "auto", True: "uvloop", False: "asyncio"}[fast]
    thread = EngineThread(lambda: Engine(waiter(), solved(), num_blocks=400, max_seqs=16))
    model = opening.served_model(waiter(), thread, opening.EngineOptions(seats=16))
    door = opening.listen("127.0.0.1", 0)
    app = ApiServer(thread, model, limits or Limits())
    protocol = patient_protocol(head_seconds, fast)
    config = uvicorn.Config(app, http=protocol, loop=loop, ws="none", log_level="error")  # type: ignore[arg-type]
    server = uvicorn.Server(config)
    runs = threading.Thread(target=server.run, kwargs={"sockets": [door]})
    runs.start()
    try:
        yield door.getsockname()[1], thread
    finally:
        server.should_exit = True
        runs.join()
        door.close()
