"""Law 1.11: the block manager in the real engine, serving more requests than contiguous KV has room for, and several
samples of one prompt, which share its pages.
"""

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
SAMPLES, SAID = (3, 8), 24  # of one prompt; tokens of each
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
    """Serve a batch of requests, then samples; raises Broken for a wrong token, for too few requests at once, or for
    pages that samples do not share.
    """
    from reference_engine.model_loader import load_model

    model, chance = load_model("waiter"), random.Random(context.seed)
    requests = _requests(model, chance)
    with _engine_room(context) as workers:
        recorder, served = _serve(context, workers, requests)
        _judge_served(context, recorder, model, requests, served)
        for tail in (chance.randint(2, BLOCK_SIZE), 1):  # the last token but one ends within a block, or fills it
            prompt = max((prompt for prompt, _, _ in requests), key=len)
            length = len(prompt) // BLOCK_SIZE * BLOCK_SIZE - BLOCK_SIZE + tail
            _judge_samples(context, workers, model, prompt[:length], chance)


def _judge_served(
    context: CheckContext, recorder: CallRecorder, model: Any, requests: Sequence[Asked], served: EngineReport
) -> None:
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


def _judge_samples(context: CheckContext, workers: Workers, model: Any, prompt: Text, chance: random.Random) -> None:
    """Samples of one prompt: each the text of a request alone; the prompt is computed once, and copied as is due."""
    n, seed = chance.randint(*SAMPLES), chance.randrange(1000)
    recorder = _recorder(context, workers)
    told = f"add(a prompt of {len(prompt)} tokens, max_new={SAID}, n={n})"
    reply = _ask(recorder, "samples", [prompt, SAID, n, seed], told)
    outputs, (computed, copies, held, _) = recorder.parsed(lambda: _sampled(reply, n))
    recorder.steps[-1].answer = f"{computed} tokens computed, {copies} blocks copied, {held} held"
    context.cases += n
    for number, (output, due) in enumerate(zip(outputs, _alone(model, prompt, n, seed), strict=True)):
        if output != due:
            message = f"Sample {number} of {n} says other tokens than alone: somebody else wrote into its pages."
            recorder.broken(message, got=shown(output), expected=shown(due), method="extend")
    shared, whole = (len(prompt) - 1) // BLOCK_SIZE, -(-(len(prompt) + SAID - 1) // BLOCK_SIZE)
    due_copies = (n - 1) * (len(prompt) % BLOCK_SIZE != 1)
    if copies != due_copies:
        message = f"{n} samples share a prompt; each that writes to its last page copies it, but for the last one."
        recorder.broken(message, got=f"{copies} copies", expected=f"{due_copies} copies", method="extend")
    most = shared + n * (whole - shared)
    if held > most:
        message = f"{n} samples of one prompt hold more than its pages and {n} tails."
        recorder.broken(message, got=f"{held} blocks", expected=f"at most {most} blocks", method="fork")


def _alone(model: Any, prompt: Text, n: int, seed: int) -> list[Text]:
    """What the samples are to say: each a request of its own."""
    from reference_engine.engine import Engine
    from reference_engine.sampler import Sampling

    blocks = 2 + (len(prompt) + SAID) // BLOCK_SIZE
    engines = [Engine(model, num_blocks=blocks, block_size=BLOCK_SIZE, max_seqs=1) for _ in range(n)]
    rules = [Sampling(temperature=1.0, seed=seed + number) for number in range(n)]
    return [list(engine.stream(prompt, SAID, rule)) for engine, rule in zip(engines, rules, strict=True)]


def _sampled(value: Any, n: int) -> tuple[list[Text], list[int]]:
    if type(value) is not list or len(value) != 2 or type(value[0]) is not list or len(value[0]) != n:
        raise protocol.ProtocolError("an answer that is not one")
    return [protocol.integers(text) for text in value[0]], protocol.integers(value[1], 4)


def _serve(context: CheckContext, workers: Workers, requests: Sequence[Asked]) -> tuple[CallRecorder, EngineReport]:
    recorder = _recorder(context, workers)
    reply = _ask(recorder, "serve", [requests], f"generate({len(requests)} requests)")
    served = recorder.parsed(lambda: _served(reply, len(requests)))
    recorder.steps[-1].answer = f"{served.steps} steps"
    return recorder, served


def _recorder(context: CheckContext, workers: Workers) -> CallRecorder:
    import dataclasses

    joined = dataclasses.replace(context, workers=workers, ask_limits=dict(ASK_LIMITS))
    return CallRecorder(joined, "engine", "engine")


def _ask(recorder: CallRecorder, method: str, arguments: list[Any], told: str) -> Any:
    """What a fresh engine with the block manager answers; raises Broken when it stops."""
    sizes = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "max_seqs": REQUESTS}
    words = ", ".join(f"{name}={value}" for name, value in sizes.items())
    name = recorder.context.submission.name
    raised = recorder.new(["waiter", sizes], {}, f"Engine(waiter, block_manager={name}, {words})")
    reply: Any = raised
    if not raised:
        recorder.method = "admit"
        reply, _ = recorder.call(method, arguments, told)
    if isinstance(reply, Raised):
        if reply.type == "PartError":
            message = f"The engine stopped: {reply.text}."
            recorder.broken(message, got=reply.text, expected="all requests served", raised=reply)
        recorder.unexpected(reply, "all requests served")
    return reply.value


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
