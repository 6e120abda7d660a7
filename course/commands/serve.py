"""`course serve`: the engine with a learner's parts, behind the API that OpenAI's clients speak."""

from __future__ import annotations

import importlib.util
import os

import click

from course import workspace
from course.click_types import kv_dtype_option
from course.errors import ExitCode, Problem
from course.playground import part_mix
from course.terminal import clean, console
from reference_engine.kv_dtype import KVDtype
from reference_engine.slots import Policy

MISSING = (
    "course serve needs starlette and uvicorn: pip install 'inference-kitchen[serve]' brings them."
)


@click.command("serve")
@click.option(
    "--use",
    "uses",
    multiple=True,
    metavar="PART:N",
    help="Let a part of yours serve, such as mine:1,2,3.",
)
@click.option(
    "--model",
    "name",
    default="waiter",
    show_default=True,
    help="A checkpoint folder, or the waiter.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=8000,
    show_default=True,
    help="0: any that is free.",
)
@click.option(
    "--api-key", metavar="KEY", envvar="COURSE_API_KEY", help="What clients have to show."
)
@click.option(
    "--seats", type=click.IntRange(1, 1024), default=64, show_default=True, help="Requests at once."
)
@click.option(
    "--kv-tokens",
    type=click.IntRange(32, 2**24),
    default=32768,
    show_default=True,
    help="That the KV pool holds.",
)
@kv_dtype_option
@click.option(
    "--budget",
    type=click.IntRange(1, 65536),
    help="Tokens of a step.  [default: 128, or two a seat]",
)
@click.option(
    "--chunk",
    type=click.IntRange(1, 65536),
    help="Prompt tokens of one request in a step, at most.",
)
@click.option(
    "--policy",
    type=click.Choice(("fcfs", "priority")),
    default="fcfs",
    show_default=True,
    help="Who first.",
)
def command(
    uses: tuple[str, ...],
    name: str,
    host: str,
    port: int,
    api_key: str | None,
    seats: int,
    kv_tokens: int,
    kv_dtype: str,
    budget: int | None,
    chunk: int | None,
    policy: str,
) -> ExitCode:
    """Serve the model over HTTP, with any mix of parts, until Ctrl-C.

    OpenAI's clients, `vllm bench serve` and curl speak to it: /v1/completions,
    /v1/chat/completions, /v1/models, /tokenize, /detokenize, /health, /metrics. A part that breaks
    is named to whoever is being served.
    """
    if any(importlib.util.find_spec(module) is None for module in ("starlette", "uvicorn")):
        raise Problem(MISSING, ExitCode.USAGE)
    choices = part_mix.mix(uses, workspace.find_or_none())
    from course.server import opening
    from course.server.limits import Limits

    door = opening.listen(host, port)
    model = opening.load(name)
    # few: while prompts are read, whoever talks waits for a step of so many tokens
    budget = budget or max(128, 2 * seats)
    order: Policy = "priority" if policy == "priority" else "fcfs"
    options = opening.EngineOptions(seats, kv_tokens, budget, chunk, order, KVDtype(kv_dtype))
    thread = opening.engine_thread(model, choices, options)
    served = opening.served_model(model, thread, options)
    screen = console()
    for choice in choices:
        screen.print(
            f"  {choice.exercise.number}  {choice.exercise.name:<22}{clean(choice.source)}",
            soft_wrap=True,
        )
    screen.print(
        f"\n{served.name} is served at http://{host}:{door.getsockname()[1]}/v1 (process {os.getpid()})."
    )
    screen.print(
        "Ctrl-C ends it, once everybody who is being served has got the answer.", style="dim"
    )
    screen.file.flush()
    opening.run(thread, served, Limits.at(host, api_key), door)
    return ExitCode.PASS
