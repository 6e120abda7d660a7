"""Law 1.11: the block manager in the real engine, serving more requests than contiguous KV has room for."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Step
from graders.checking.replies import Raised, shown
from graders.checking.workers import Source, Workers
from graders.result import Figure
from graders.sandbox import protocol
from graders.sandbox.worker_prestart import ASK_LIMITS, LIMITS
from graders.simulation.load_companions import source

BLOCK_SIZE = 16
NUM_BLOCKS = 1 + 2 * 1024 // BLOCK_SIZE  # two of the longest talks
REQUESTS = 32
PROMPTS, ANSWERS = (24, 160), (16, 40)  # tokens
SEVERAL = 3.0  # times as many requests as contiguous reservation
Text = list[int]
Asked = tuple[Text, int, int | None]  # prompt, max_new, eos


@dataclass(frozen=True, slots=True)
class EngineReport:
    """What the engine reported: outputs, the most requests that held blocks at once, the steps it took."""

    outputs: list[Text]
    held: int
    steps: int


def real_engine(context: CheckContext) -> None:
    """Serve a batch of requests; raises Broken for a wrong token, or if too few of them are in at once."""
    from reference_engine.model_loader import load_model

    model = load_model("waiter")
    requests = _requests(model, random.Random(context.seed))
    with _engine_room(context) as workers:
        recorder, served = _serve(context, workers, requests)
    context.cases += len(requests)
    for number, (asked, output) in enumerate(zip(requests, served.outputs, strict=True)):
        _judge(recorder, model, number, asked, output)
    contiguous = _contiguous(requests)
    figure = Figure("requests held at once", served.held, "requests", contiguous, "contiguous reservation")
    context.figures.append(figure)
    if served.held < SEVERAL * contiguous:
        message = f"No more than {served.held} requests were in at once; contiguous reservation holds {contiguous}."
        expected = f"at least {SEVERAL:.0f} times as many"
        recorder.broken(message, got=f"{served.held} requests", expected=expected, method="admit")


@contextmanager
def _engine_room(context: CheckContext) -> Iterator[Workers]:
    """Workers with torch, the submission, and the scheduler that `context.others` says."""
    sources = [Source.of(context.exercise.slot, context.submission)]
    if context.others != "naive":
        sources.insert(0, source(context, "scheduler"))
    first = context.ahead.take() if context.ahead is not None else None
    workers = Workers(sources, level=context.worker.level, limits=LIMITS, first=first)
    try:
        yield workers
    finally:
        workers.end()


def _serve(context: CheckContext, workers: Workers, requests: Sequence[Asked]) -> tuple[CallRecorder, EngineReport]:
    import dataclasses

    joined = dataclasses.replace(context, workers=workers, ask_limits=dict(ASK_LIMITS))
    recorder = CallRecorder(joined, "engine", "engine")
    sizes = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "max_seqs": REQUESTS}
    words = ", ".join(f"{name}={value}" for name, value in sizes.items())
    raised = recorder.new(["waiter", sizes], {}, f"Engine(waiter, block_manager={context.submission.name}, {words})")
    reply: Any = raised
    if not raised:
        recorder.method = "admit"
        reply, _ = recorder.call("serve", [requests], f"generate({len(requests)} requests)")
    if isinstance(reply, Raised):
        if reply.type == "PartError":
            recorder.broken(
                f"The engine stopped: {reply.text}.", got=reply.text, expected="all requests served", raised=reply
            )
        recorder.unexpected(reply, "all requests served")
    served = recorder.parsed(lambda: _served(reply.value, len(requests)))
    recorder.steps[-1].answer = f"{served.steps} steps"
    return recorder, served


def _served(value: Any, count: int) -> EngineReport:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not list or len(value[0]) != count:
        raise protocol.ProtocolError("an answer that is not one")
    held, steps, *_ = protocol.integers(value[1], 5)
    return EngineReport([protocol.integers(text) for text in value[0]], held, steps)


def _judge(recorder: CallRecorder, model: Any, number: int, asked: Asked, output: Text) -> None:
    """The oracle must be able to say the same tokens, and no more or fewer of them."""
    from reference_engine import oracle

    prompt, max_new, eos = asked
    whole = len(output) == max_new or (output and output[-1] == eos)
    place = None if output else 0
    if 0 < len(output) <= max_new:
        place = oracle.replay(model, prompt, output)
    if place is None and whole and len(output) <= max_new and eos not in output[:-1]:
        return
    due = oracle.greedy(model, prompt, max_new, eos)
    recorder.steps.append(Step(f"request {number}, {len(prompt)} tokens of prompt", shown(output)))
    wrong = f"token {place} is wrong" if place is not None else f"{len(output)} tokens came, {len(due)} are due"
    message = f"With this block manager request {number} gets other tokens than alone: {wrong}."
    recorder.broken(message, got=shown(output), expected=shown(due), method="extend")


def _requests(model: Any, chance: random.Random) -> list[Asked]:
    """Pieces of dialogues, of many lengths."""
    from reference_engine.waiter.corpus import END, dialogue
    from reference_engine.waiter.tokenizer import special_id

    end = special_id(model.tokenizer, END)
    said = model.tokenizer.encode(
        "\n".join(dialogue(chance.randrange(10**6), "heldout", turns=6).prompt(5) for _ in "12")
    ).ids
    requests: list[Asked] = []
    for _ in range(REQUESTS):
        length = chance.randint(*PROMPTS)
        start = chance.randrange(len(said) - length)
        requests.append((said[start : start + length], chance.randint(*ANSWERS), end))
    return requests


def _contiguous(requests: Sequence[Asked]) -> int:
    """How many of these requests are in at once when each is given room for the longest text."""
    from reference_engine.naive import parts

    contiguous = parts().block_manager(NUM_BLOCKS, BLOCK_SIZE)
    held = 0
    for number, (prompt, _, _) in enumerate(requests):
        if not contiguous.can_admit(len(prompt)):
            break
        contiguous.admit(number, len(prompt))
        held += 1
    return held
