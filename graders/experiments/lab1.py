"""Lab 1, reading and writing: prefill over the prompt's length, decoding over the batch, each
beside its floor."""

from __future__ import annotations

import random
from collections.abc import Iterator
from functools import partial

from graders.experiments import engine_races
from graders.experiments.drawn_requests import BLOCK_SIZE
from graders.experiments.results import Finished, Measurement
from graders.experiments.session import Task
from graders.experiments.workbench import (
    LabPlan,
    Stopwatch,
    ceilings,
    decode_work,
    decoding,
    roof,
    solved,
    tokens,
)
from reference_engine.engine import Engine
from reference_engine.llama.config import LlamaConfig
from reference_engine.model_loader import load_model
from reference_engine.roofline import serving_work

LENGTHS, BATCHES = (16, 64, 256, 1024), (1, 4, 16, 64)
MORE_LENGTHS, MORE_BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048), (1, 2, 4, 8, 16, 32, 64, 128)
CONTEXT, STEPS = 128, 9
"""Of the decoding requests: tokens read before the first step that counts, and steps that count."""


def tasks(plan: LabPlan) -> list[Task]:
    """Everything that the lab measures."""
    own = [
        task
        for model in plan.models
        for task in (
            Task(f"prefill:{model}", f"reading prompts, {model}", partial(prefill, plan, model)),
            Task(
                f"decode:{model}",
                f"writing at several batches, {model}",
                partial(decode, plan, model),
            ),
        )
    ]
    return [
        *own,
        engine_races.task(plan, "engines", batches=(1, 16) if plan.quick else (1, 16, 64)),
    ]


def prefill(plan: LabPlan, name: str) -> Finished:
    """Seconds to the first token of prompts of several lengths, nothing else running."""
    model, dice = load_model(name), random.Random(plan.seed)
    lengths = [
        each for each in (LENGTHS if plan.quick else MORE_LENGTHS) if each < model.config.positions
    ]
    blocks = 1 + -(-(lengths[-1] + 1) // BLOCK_SIZE)
    engine = Engine(
        model, solved(cache=False), num_blocks=blocks, max_seqs=1, token_budget=lengths[-1]
    )
    watches = {length: Stopwatch() for length in lengths}
    samples: dict[int, list[float]] = {length: [] for length in lengths}
    for number in range(plan.rounds(5) + 1):
        for length in lengths:
            engine.add(tokens(dice, model, length), 1)
            with watches[length]:
                engine.step()
            if number:  # the first round warms up
                samples[length].append(watches[length].last)
    return Finished(tuple(_beside_floors(name, model.config, samples, watches)))


def _beside_floors(
    name: str, config: LlamaConfig, samples: dict[int, list[float]], watches: dict[int, Stopwatch]
) -> Iterator[Measurement]:
    over = roof(config)
    for length, seconds in samples.items():
        work = serving_work(config, [([0] * length, 1)], seats=1, shared=False)
        over.watch(work, min(seconds), f"a prompt of {length}")
        facts = {"operations": work.operations, "moved": work.moved}
        yield Measurement(
            "prefill", name, float(length), tuple(seconds), facts, watches[length].usual
        )
    yield ceilings(over, name)


def decode(plan: LabPlan, name: str) -> Finished:
    """Seconds of one step in which every one of `batch` requests is given a token."""
    model, dice = load_model(name), random.Random(plan.seed)
    over, parts, points = roof(model.config), solved(cache=False), list[Measurement]()
    for batch in BATCHES if plan.quick else MORE_BATCHES:
        steps = STEPS if plan.quick else 3 * STEPS
        engine, watch, seconds = (
            decoding(model, parts, batch, CONTEXT, steps, dice),
            Stopwatch(),
            list[float](),
        )
        for _ in range(steps):
            with watch:
                engine.step()
            seconds.append(watch.last)
        context = CONTEXT + 2  # of the first step that counts: two were for warming up
        work = decode_work(model.config, batch, context)
        over.watch(work, min(seconds), f"a step of {batch}")
        facts = {"operations": work.operations, "moved": work.moved, "context": float(context)}
        points.append(Measurement("decode", name, float(batch), tuple(seconds), facts, watch.usual))
    return Finished((*points, ceilings(over, name)))
