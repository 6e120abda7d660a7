"""Law 1.11 with a model: samples of one prompt in the real engine, where the block manager says
what is copied.

Its workers import torch, so it is left out with the timed laws. What it finds in the tokens of a
real model, the engine without a model finds in what a memory holds.
"""

from __future__ import annotations

import dataclasses
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.replies import Raised, shown
from graders.checking.workers import Source, Workers
from graders.sandbox import protocol
from graders.sandbox.worker_prestart import ASK_LIMITS, LIMITS
from graders.simulation.load_companions import source

BLOCK_SIZE = 16
NUM_BLOCKS = 1 + 2 * 1024 // BLOCK_SIZE
SEATS = 32
SAMPLES, SAID = (3, 8), 24  # of one prompt; tokens of each
PAGES = (7, 9)  # that a prompt fills before its last one
Text = list[int]


def samples_in_engine(context: CheckContext) -> None:
    """Raises Broken for a sample that says other tokens than alone, and for pages that are not
    shared as is due."""
    from reference_engine.model_loader import load_model

    model, chance = load_model("waiter"), random.Random(context.seed)
    with _engine_room(context) as workers:
        for tail in (
            chance.randint(2, BLOCK_SIZE),
            1,
        ):  # the last token but one ends within a block, or fills it
            _judge_samples(context, workers, model, _prompt(model, chance, tail), chance)


def _prompt(model: Any, chance: random.Random, tail: int) -> Text:
    """A piece of dialogue: some pages of it, and so many tokens more."""
    from reference_engine.waiter.corpus import dialogue

    said: Text = model.tokenizer.encode(
        dialogue(chance.randrange(10**6), "heldout", turns=6).prompt(5)
    ).ids
    return said[: min(len(said) // BLOCK_SIZE - 1, chance.randint(*PAGES)) * BLOCK_SIZE + tail]


@contextmanager
def _engine_room(context: CheckContext) -> Iterator[Workers]:
    """Workers with torch, the submission, and the scheduler that `context.others` says."""
    sources = [Source.of(context.exercise.slot, context.submission)]
    if context.others != "naive":
        sources.insert(0, source(context, "scheduler"))
    workers = Workers(
        sources, level=context.worker.level, limits=LIMITS, allowance=context.allowance
    )
    try:
        yield workers
    finally:
        workers.end()


def _judge_samples(
    context: CheckContext, workers: Workers, model: Any, prompt: Text, chance: random.Random
) -> None:
    """Samples of one prompt: each the text of a request alone; the prompt is computed once, and
    copied as is due."""
    n, seed = chance.randint(*SAMPLES), chance.randrange(1000)
    recorder = _recorder(context, workers)
    told = f"add(a prompt of {len(prompt)} tokens, max_new={SAID}, n={n})"
    reply = _ask(recorder, "samples", [prompt, SAID, n, seed], told)
    outputs, (computed, copies, held, _) = recorder.parsed(lambda: _sampled(reply, n))
    recorder.steps[-1].answer = f"{computed} tokens computed, {copies} blocks copied, {held} held"
    context.cases += n
    for number, (output, due) in enumerate(
        zip(outputs, _alone(model, prompt, n, seed), strict=True)
    ):
        if output != due:
            message = f"Sample {number} of {n} says other tokens than alone: somebody else wrote into its pages."
            recorder.broken(message, got=shown(output), expected=shown(due), method="extend")
    shared, whole = (len(prompt) - 1) // BLOCK_SIZE, -(-(len(prompt) + SAID - 1) // BLOCK_SIZE)
    due_copies = (n - 1) * (len(prompt) % BLOCK_SIZE != 1)
    if copies != due_copies:
        message = f"{n} samples share a prompt; each that writes to its last page copies it, but for the last one."
        recorder.broken(
            message, got=f"{copies} copies", expected=f"{due_copies} copies", method="extend"
        )
    most = shared + n * (whole - shared)
    if held > most:
        message = f"{n} samples of one prompt hold more than its pages and {n} tails."
        recorder.broken(
            message, got=f"{held} blocks", expected=f"at most {most} blocks", method="fork"
        )


def _alone(model: Any, prompt: Text, n: int, seed: int) -> list[Text]:
    """What the samples are to say: each a request of its own."""
    from reference_engine.engine import Engine
    from reference_engine.sampler import Sampling

    blocks = 2 + (len(prompt) + SAID) // BLOCK_SIZE
    engines = [
        Engine(model, num_blocks=blocks, block_size=BLOCK_SIZE, max_seqs=1) for _ in range(n)
    ]
    rules = [Sampling(temperature=1.0, seed=seed + number) for number in range(n)]
    return [
        list(engine.stream(prompt, SAID, rule)) for engine, rule in zip(engines, rules, strict=True)
    ]


def _sampled(value: Any, n: int) -> tuple[list[Text], list[int]]:
    if (
        type(value) is not list
        or len(value) != 2
        or type(value[0]) is not list
        or len(value[0]) != n
    ):
        raise protocol.ProtocolError("an answer that is not one")
    return [protocol.integers(text) for text in value[0]], protocol.integers(value[1], 4)


def _recorder(context: CheckContext, workers: Workers) -> CallRecorder:
    joined = dataclasses.replace(context, workers=workers, ask_limits=dict(ASK_LIMITS))
    return CallRecorder(joined, "engine", "engine")


def _ask(recorder: CallRecorder, method: str, arguments: list[Any], told: str) -> Any:
    """What a fresh engine with the block manager answers; raises Broken when it stops."""
    sizes = {"num_blocks": NUM_BLOCKS, "block_size": BLOCK_SIZE, "max_seqs": SEATS}
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
