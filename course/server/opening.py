"""From what was typed to a server that listens: model, parts, engine, port; and down again."""

from __future__ import annotations

import errno
import logging
import resource
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.server.chat_template import ChatTemplate
from course.server.engine_thread import EngineThread
from course.server.limits import Limits
from course.server.question import ServedModel
from course.terminal import clean
from reference_engine.engine import Engine
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model, ModelError
from reference_engine.model_loader import load_model
from reference_engine.parts import PartError, Parts
from reference_engine.slots import Policy
from reference_engine.waiter.corpus import END

BLOCK_SIZE = 16
HEAD_SECONDS = 20.0
DRAIN_SECONDS = 60


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine of a server is made of. kv_tokens: that the KV pool holds, as kv_dtype.
    chunk: of a prefill, None: no cap.
    """

    seats: int = 64
    kv_tokens: int = 32768
    token_budget: int = 512
    chunk: int | None = None
    policy: Policy = "fcfs"
    kv_dtype: KVDtype = KVDtype.FP32


def load(name: str) -> Model:
    """The model, with its tokenizer. `Problem` when it cannot be had."""
    try:
        model = load_model(name)
        assert model.tokenizer
    except ModelError as error:
        raise Problem(f"{error}.", ExitCode.USAGE) from error
    return model


def engine_thread(
    model: Model, choices: Sequence[part_mix.PartChoice], options: EngineOptions
) -> EngineThread:
    """The thread that serves, not started. `Problem` when a part cannot even be made."""
    parts = part_mix.parts(choices)

    def make() -> Engine:
        return _engine(model, parts, options)

    def complain(error: PartError) -> None:
        path = next((each.path for each in choices if each.exercise.slot == error.slot), None)
        with suppress(OSError):  # nobody reads it
            print(part_mix.blame(error, path) if path else clean(str(error)), flush=True)

    files = [str(choice.path) for choice in choices]
    with part_mix.blamed(choices):
        try:
            return EngineThread(make, files=files, complain=complain)
        except (ValueError, ModelError) as error:
            raise Problem(f"{error}.") from error


def _engine(model: Model, parts: Parts, options: EngineOptions) -> Engine:
    return Engine(
        model,
        parts,
        num_blocks=options.kv_tokens // BLOCK_SIZE + 1,
        block_size=BLOCK_SIZE,
        max_seqs=options.seats,
        token_budget=options.token_budget,
        chunk=options.chunk,
        policy=options.policy,
        kv_dtype=options.kv_dtype,
        speculator=part_mix.speculator(model, parts, thrifty=True),
    )


def served_model(model: Model, thread: EngineThread, options: EngineOptions) -> ServedModel:
    """What the endpoints need to know of the model."""
    return ServedModel(
        name=model.name,
        tokenizer=model.tokenizer,
        template=ChatTemplate.of(model),
        eos=model.tokenizer.token_to_id(END),
        vocab=model.config.vocab,
        capacity=thread.engine.capacity,
        seats=options.seats,
        by_priority=options.policy == "priority",
    )


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; port 0: any that is free. `Problem` when it is in use, or not to be
    had."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        door = socket.socket(found[0], socket.SOCK_STREAM)
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        door.bind(found[4])
        door.listen(2048)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            raise Problem(
                f"port {port} is in use: end what listens there, or give another --port."
            ) from None
        raise Problem(
            f"nobody can listen at {host} port {port}: {error.strerror or error}."
        ) from None
    return door


def run(thread: EngineThread, model: ServedModel, limits: Limits, door: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C, then what is being answered to its end."""
    import uvicorn

    from course.server.app import ApiServer
    from course.server.patient_protocol import patient_protocol

    api = ApiServer(thread, model, limits)
    config = uvicorn.Config(
        api,
        http=patient_protocol(HEAD_SECONDS),
        ws="none",
        log_level="warning",
        access_log=False,
        timeout_graceful_shutdown=DRAIN_SECONDS,
        timeout_keep_alive=30,
        server_header=False,
        proxy_headers=False,
    )
    allow_many_connections()
    # it complains of every client that hangs up
    logging.getLogger("asyncio").setLevel(logging.ERROR)
    server = uvicorn.Server(config)
    api.closing = lambda: server.should_exit
    before = {each: signal.signal(each, _ignore) for each in (signal.SIGTERM, signal.SIGINT)}
    try:
        server.run(sockets=[door])
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)


def allow_many_connections() -> None:
    """As many as the system lets this process have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = hard if hard != resource.RLIM_INFINITY else 65536
    if soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(wanted, 65536), hard))


def _ignore(number: int, frame: object) -> None:
    """uvicorn repeats the signal that it was ended by, once it is done."""
