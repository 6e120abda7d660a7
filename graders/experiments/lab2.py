"""Lab 2, the photocopier at work: what a prefix cache saves, and what a small one forgets."""

from __future__ import annotations

import random
from collections.abc import Sequence

from graders.experiments import engine_races
from graders.experiments.drawn_requests import BLOCK_SIZE, OWN, menu_prompts
from graders.experiments.results import Finished, Measurement
from graders.experiments.session import Task
from graders.experiments.workbench import LabPlan, Stopwatch, solved, tokens
from reference_engine.engine import Engine
from reference_engine.kv_manager import KVManager
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts

SHARED = (0, 64, 256, 1024)
"""Tokens that two prompts begin with alike."""
CONTRACTS, PAGES = 100, 50
CAPACITIES = (0, 6, 12, 24, 36, 48, 60, 72, 84, 96, 120, 144)
"""Blocks that the cache may store."""
SIDES = {"cache on": True, "cache off": False}


def tasks(plan: LabPlan) -> list[Task]:
    """Everything that the lab measures."""
    name = plan.models[0]
    own = [
        Task(
            "ttft",
            f"time to first token over the shared length, {name}",
            lambda: first_token(plan, name),
        ),
        Task(
            "photocopier",
            f"{CONTRACTS} contracts of {PAGES} common pages, {name}",
            lambda: contracts(plan, name),
        ),
        Task("hit rate", "hits over the size of the cache", lambda: hits(plan)),
    ]
    if not plan.engines:
        return own
    on = engine_races.task(plan, "engines, cache on", workload="shared_menu", apart=False)
    off = engine_races.task(
        plan, "engines, cache off", workload="shared_menu", apart=False, cache=False
    )
    return [*own, on, off]


def first_token(plan: LabPlan, name: str) -> Finished:
    """Seconds to the first token of a prompt whose opening was read just before."""
    model, dice = load_model(name), random.Random(plan.seed)
    lengths = [length for length in SHARED if length + OWN < model.config.positions]
    blocks = 1 + 3 * -(-(lengths[-1] + OWN + 1) // BLOCK_SIZE)
    points = []
    for side, cached in SIDES.items():
        parts = solved(cache=cached)
        for length in lengths:
            watch, seconds, computed = Stopwatch(), list[float](), 0
            for _ in range(plan.rounds(5)):
                budget = lengths[-1] + OWN
                engine = Engine(model, parts, num_blocks=blocks, max_seqs=1, token_budget=budget)
                opening = tokens(dice, model, length)
                for _ in "ab":  # the second finds what the first has left
                    engine.add([*opening, *tokens(dice, model, OWN)], 1)
                    before = engine.metrics.computed
                    with watch:
                        engine.step()
                seconds.append(watch.last)
                computed = engine.metrics.computed - before
            facts = {"computed": float(computed)}
            points.append(
                Measurement("ttft", side, float(length), tuple(seconds), facts, watch.usual)
            )
    return Finished(tuple(points))


def contracts(plan: LabPlan, name: str) -> Finished:
    """Pages printed for contracts that share all pages but one; a page is a token here, and a
    block."""
    model, dice = load_model(name), random.Random(plan.seed)
    common = tokens(dice, model, PAGES)
    points = []
    for side, cached in SIDES.items():
        parts, watch, seconds, computed = solved(cache=cached), Stopwatch(), list[float](), 0
        for _ in range(plan.rounds()):
            room = PAGES + CONTRACTS + 2
            engine = Engine(
                model, parts, num_blocks=room, block_size=1, max_seqs=1, token_budget=PAGES + 1
            )
            with watch:
                for own in dice.sample(range(model.config.vocab), CONTRACTS):
                    engine.add([*common, own], 1)
                    engine.step()
            seconds.append(watch.last)
            computed = engine.metrics.computed
        facts = {"computed": float(computed)}
        points.append(Measurement("photocopier", side, 0.0, tuple(seconds), facts, watch.usual))
    return Finished(tuple(points))


def hits(plan: LabPlan) -> Finished:
    """Which share of the prompts' tokens a cache of so many blocks has; counted, so that no clock
    takes part."""
    asked, parts = menu_prompts(plan.seed), solved(cache=True)
    points = []
    for capacity in CAPACITIES:
        share = cached_tokens(asked, parts, capacity) / sum(map(len, asked))
        points.append(Measurement("hit rate", "our cache", float(capacity), (share,)))
    return Finished(tuple(points))


def cached_tokens(asked: Sequence[Sequence[int]], parts: Parts, capacity: int) -> int:
    """Tokens found in the cache when prompts are served one by one, and it is cut to `capacity`
    blocks after each."""
    assert parts.prefix_cache is not None
    longest = max(-(-len(prompt) // BLOCK_SIZE) for prompt in asked)
    size = 1 + longest + max(capacity, 0) + longest
    blocks, cache = parts.block_manager(size, BLOCK_SIZE), parts.prefix_cache(BLOCK_SIZE)
    kv, found = KVManager(blocks, cache, block_size=BLOCK_SIZE, num_blocks=size), 0
    for id, prompt in enumerate(asked):
        found += kv.admit(id, prompt, len(prompt)) or 0
        kv.drop(id, prompt)
        blocks.release(cache.evict(max(0, cache.evictable - capacity)))
    return found
