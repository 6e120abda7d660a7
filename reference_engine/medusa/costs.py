"""What trees cost on this machine, timed apart from any text: whole steps, and the model's passes alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from statistics import median

import torch

from reference_engine.batch import Batch, Span
from reference_engine.engine import Engine
from reference_engine.medusa.choice import TreeChoice
from reference_engine.medusa.heads import Guesser, Told
from reference_engine.medusa.payoff import Cost, Payoff
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.model import Model
from reference_engine.parts import Parts
from reference_engine.runner import make_runner

BATCHES = (1, 4, 16, 64)


def engine_for(model: Model, parts: Parts, speculator: MedusaSpeculator | None, batch: int) -> Engine:
    """With room for `batch` guests, their trees and some prompts in every step."""
    positions = model.config.positions
    blocks = 1 + (batch + 8) * -(-positions // 16)
    ahead = 1 + (speculator.lookahead if speculator else 0)
    budget = max(512, batch * ahead + 256)
    return Engine(model, parts, num_blocks=blocks, max_seqs=batch, token_budget=budget, speculator=speculator)


def passes_cost(
    model: Model, guesser: Guesser, tree: TreeChoice, batch: int, *, context: int = 128, repeats: int = 60
) -> float:
    """What the pass over a batch's trees and the heads after it cost, in passes of one row a guest; nothing else.

    Each kind for itself, over and over: heads drive the model's weights out of the caches.
    """
    size, nodes = 16, tree.nodes
    width = -(-(context + nodes) // size)
    runner = make_runner(model, num_blocks=1 + batch * width, block_size=size, seats=batch, width=width)
    for seat in range(batch):
        runner.tables.put(seat, range(1 + seat * width, 1 + (seat + 1) * width))
    seats, mask, depths = range(batch), torch.ones(nodes, nodes).tril().bool(), tuple(range(nodes))
    plain = Batch(tuple(Span(seat, context, (seat,), 1) for seat in seats))
    trees = Batch(tuple(Span(seat, context, (seat,) * nodes, nodes, nodes) for seat in seats), depths, mask)
    told = [Told(seat, (seat,)) for seat in seats]

    def guessed() -> None:
        guesser.guess(told, runner.forward(trees).hidden[::nodes], tree.guesses)

    return _settled(guessed, repeats) / _settled(lambda: runner.forward(plain), repeats)


def _settled(action: Callable[[], object], repeats: int) -> float:
    """Median seconds of the second half of so many runs."""
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        seconds.append(time.perf_counter() - began)
    return median(seconds[repeats // 2 :])


def measure_payoff(
    model: Model,
    parts: Parts,
    guesser: Guesser,
    tree: TreeChoice,
    *,
    batches: Sequence[int] = BATCHES,
    context: int = 128,
    steps: int = 7,
) -> Payoff:
    """The cost model of this machine: plain and tree steps in turn, for each batch, behind `context` tokens."""
    costs = []
    for batch in batches:
        engines = [
            engine_for(model, parts, speculator, batch)
            for speculator in (None, MedusaSpeculator(parts.medusa, guesser, tree))
        ]
        for engine in engines:
            for seat in range(batch):
                engine.add([(7 * seat + place) % model.config.vocab for place in range(context)], 16 * (steps + 4))
            _until_all_decode(engine, batch)
        seconds: list[list[float]] = [[], []]
        for _ in range(steps):
            for engine, times in zip(engines, seconds, strict=True):
                began = time.perf_counter()
                engine.step()
                times.append(time.perf_counter() - began)
        costs.append(Cost(batch, *map(median, seconds)))
    return Payoff(tree.expected, tuple(costs))


def _until_all_decode(engine: Engine, batch: int) -> None:
    """Step until every prompt is read and a step with one chunk of every guest has been taken."""
    metrics, read = engine.metrics, False
    while not read:
        before = metrics.computed, metrics.chunks
        engine.step()
        read = metrics.computed - before[0] == metrics.chunks - before[1] == batch
    engine.step()


def best_size(model: Model, parts: Parts, guesser: Guesser, tree: TreeChoice, sizes: Iterable[int]) -> dict[int, float]:
    """For each number of nodes: tokens a second of one guest, relative to none speculating, by cost and expectation."""
    gains = {}
    for nodes in sizes:
        small = tree.pruned(nodes)
        gains[nodes] = measure_payoff(model, parts, guesser, small, batches=(1,), steps=25).gain(1)
    return gains
