"""What a step with trees costs on this machine, timed apart from any text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from statistics import median

from reference_engine.engine import Engine
from reference_engine.medusa.break_even import BreakEven, Cost
from reference_engine.medusa.heads import Guesser
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.model import Model
from reference_engine.parts import Parts

BATCHES = (1, 4, 16, 64)


def engine_for(
    model: Model, parts: Parts, speculator: MedusaSpeculator | None, batch: int
) -> Engine:
    """With room for `batch` requests, their trees and some prompts in every step."""
    positions = model.config.positions
    blocks = 1 + (batch + 8) * -(-positions // 16)
    ahead = 1 + (speculator.lookahead if speculator else 0)
    budget = max(512, batch * ahead + 256)
    return Engine(
        model, parts, num_blocks=blocks, max_seqs=batch, token_budget=budget, speculator=speculator
    )


def measure_break_even(
    model: Model,
    parts: Parts,
    guesser: Guesser,
    tree: TreeChoice,
    *,
    batches: Sequence[int] = BATCHES,
    context: int = 128,
    steps: int = 7,
) -> BreakEven:
    """The cost model of this machine: plain and tree steps in turn, for each batch, behind
    `context` tokens."""
    costs = []
    for batch in batches:
        engines = [
            engine_for(model, parts, speculator, batch)
            for speculator in (None, MedusaSpeculator(parts.medusa, guesser, tree))
        ]
        for engine in engines:
            for seat in range(batch):
                engine.add(
                    [(7 * seat + place) % model.config.vocab for place in range(context)],
                    16 * (steps + 4),
                )
            _until_all_decode(engine, batch)
        seconds: list[list[float]] = [[], []]
        for _ in range(steps):
            for engine, times in zip(engines, seconds, strict=True):
                began = time.perf_counter()
                engine.step()
                times.append(time.perf_counter() - began)
        costs.append(Cost(batch, *map(median, seconds)))
    return BreakEven(tree.expected, tuple(costs))


def _until_all_decode(engine: Engine, batch: int) -> None:
    """Step until every prompt is read and a step with one chunk of every request has been taken."""
    metrics, read = engine.metrics, False
    while not read:
        before = metrics.computed, metrics.chunks
        engine.step()
        read = metrics.computed - before[0] == metrics.chunks - before[1] == batch
    engine.step()


def best_size(
    model: Model, parts: Parts, guesser: Guesser, tree: TreeChoice, sizes: Iterable[int]
) -> dict[int, float]:
    """For each number of nodes: tokens a second of one request over those without a tree, by cost
    and expectation."""
    gains = {}
    for nodes in sizes:
        small = tree.pruned(nodes)
        gains[nodes] = measure_break_even(
            model, parts, guesser, small, batches=(1,), steps=25
        ).gain(1)
    return gains
