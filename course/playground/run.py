"""Requests served by a mix of parts, as `course run` tells it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from rich.console import Console
from rich.text import Text

from course import rendering
from course.errors import ExitCode, Problem, needing_the_waiter
from course.playground import part_mix, serve
from course.playground.serve import EngineSizes
from course.terminal import clean
from course.window.page import EngineRun, Window, words_of
from graders.result import Figure
from reference_engine import naive
from reference_engine.kv_dtype import KVDtype
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.slots import Request
from reference_engine.waiter.corpus import Dialogue, guests
from reference_engine.waiter.menu import restaurants

SHOWN = 4


def serve_and_report(
    screen: Console,
    choices: Sequence[part_mix.PartChoice],
    sizes: EngineSizes,
    count: int,
    seed: int,
    html: Path | None = None,
) -> ExitCode:
    """Serve `count` requests drawn from `seed`, print what happened, and 0 or 1 for how it went.

    html: a file for the window on what was served.
    """
    dialogues = list(guests(restaurants()[0], count, seed))
    with needing_the_waiter():
        model = load_model("waiter")
        asked = serve.requests(model, dialogues)
    _check_room(asked, sizes, part_mix.lookahead(choices))
    served, wrong = serve.trial(model, choices, asked, replace(sizes, keep_trace=html is not None))
    before = (
        None
        if wrong
        else serve.serve(model, naive.parts(), asked, replace(sizes, keep_trace=html is not None))
    )
    if html is not None and served is not None:
        _window(model, choices, sizes, served, before).write(html)
    if served is None or before is None:
        guilty = serve.culprit(model, choices, asked, sizes)
        rendering.print_block(screen, _accusation(wrong, guilty))
        return ExitCode.FAIL
    _print_answers(screen, model, dialogues, served)
    for line in rendering.figure_lines(_figures(served, before), rendering.columns(screen)):
        screen.print(line, soft_wrap=True)
    screen.print(f"\n{_verdict(sizes)}", style="green")
    return ExitCode.PASS


def _verdict(sizes: EngineSizes) -> str:
    told = "Every token is what the model says alone, without batch, pages or cache"
    return told + (
        "." if sizes.kv_dtype is KVDtype.FP32 else f", its KV in {sizes.kv_dtype.value} too."
    )


def _window(
    model: Model,
    choices: Sequence[part_mix.PartChoice],
    sizes: EngineSizes,
    served: serve.ServedRequests,
    before: serve.ServedRequests | None,
) -> Window:
    """What the mix did, and the naive parts beside it."""
    pool = sizes.num_blocks, sizes.block_size, sizes.token_budget
    named = _named(choices)
    runs = [EngineRun(f"with {named}", *pool, served.trace)]
    runs += [EngineRun("all parts naive, same requests", *pool, before.trace)] if before else []
    words = words_of([record for run in runs for record in run.trace], model.tokenizer.decode)
    return Window(f"course run: {named}", tuple(runs), words)


def _named(choices: Sequence[part_mix.PartChoice]) -> str:
    """Which part is whose: "parts 1, 2 (mine) and part 3 (solutions)"."""
    numbers: dict[str, list[str]] = {}
    for each in choices:
        numbers.setdefault(clean(each.source), []).append(str(each.exercise.number))
    told = [
        f"part{'s' * (len(each) > 1)} {', '.join(each)} ({source})"
        for source, each in numbers.items()
    ]
    return " and ".join(told) or "naive parts"


def _check_room(asked: Sequence[Request], sizes: EngineSizes, lookahead: int) -> None:
    """`Problem` when the longest request could not be served even alone, with room for its guesses."""
    longest = max(len(request.prompt) + request.max_new for request in asked) + lookahead
    needed = 1 + -(-longest // sizes.block_size)
    if sizes.num_blocks < needed:
        raise Problem(
            f"{sizes.num_blocks} blocks cannot hold a single request of {longest} tokens; --blocks {needed}."
        )


def _accusation(wrong: str, guilty: part_mix.PartChoice | None) -> list[Text]:
    lines = rendering.problem(wrong, ())
    if guilty is None:
        return [
            *lines,
            Text(),
            Text("No single part is to blame: with any one of them swapped out it still fails."),
        ]
    number = guilty.exercise.number
    blame = f"To blame: exercise {number}, {guilty.source}. With the solution in its place all goes well."
    again = "" if guilty.source == "mine" else f" --using {guilty.source}"
    return [
        *lines,
        Text(),
        Text(clean(blame)),
        Text(),
        Text(clean(f"next      course check {number}{again}")),
    ]


def _print_answers(
    screen: Console, model: Model, dialogues: Sequence[Dialogue], served: serve.ServedRequests
) -> None:
    for dialogue, output in list(zip(dialogues, served.outputs, strict=True))[:SHOWN]:
        turn = dialogue.turns[0]
        screen.print(
            Text.assemble("  ", (f"{turn.guest}: ", "cyan"), turn.question), soft_wrap=True
        )
        answer = clean(model.tokenizer.decode(list(output))).strip()
        screen.print(
            Text.assemble("  ", (f"{dialogue.party.waiter}: ", "green"), answer), soft_wrap=True
        )
    if len(dialogues) > SHOWN:
        screen.print(f"  … and {len(dialogues) - SHOWN} more", style="dim")
    screen.print()


def _figures(served: serve.ServedRequests, before: serve.ServedRequests) -> list[Figure]:
    """What the mix did, beside the naive parts on the same requests in the same memory."""
    now, then = served.metrics, before.metrics
    pairs = (
        ("requests at once", "", now.peak_running, then.peak_running),
        ("steps of the model", "", now.steps, then.steps),
        ("tokens computed", "", now.computed, then.computed),
        ("tokens from the cache", "", now.cached, then.cached),
        ("requests preempted", "", now.preemptions, then.preemptions),
        ("guesses accepted", "", now.accepted, then.accepted),
        ("answers", "tok/s", now.emitted / served.seconds, then.emitted / before.seconds),
    )
    shown = [pair for pair in pairs if now.guessed or pair[0] is not pairs[-2][0]]
    return [
        Figure(name, float(value), unit, float(other), "naive parts")
        for name, unit, value, other in shown
    ]
