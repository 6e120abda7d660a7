"""The last law of lab 2: the formulas beside what the engine's own scheduler, cache and block
manager compute."""

from __future__ import annotations

import random
from collections.abc import Sequence

from graders.checking.check_context import CheckContext
from graders.checking.formulas import FormulaJudge
from graders.result import Figure
from graders.simulation.unjudged_run import UnjudgedEngine, part

SLOTS = ("block_manager", "scheduler", "prefix_cache")
ROUNDS = 6
MENU, QUESTION = (8, 90), (1, 30)  # tokens
Prompt = list[int]


def as_the_engine_counts(context: CheckContext) -> None:
    """Guests with few menus, one after another: served by the course's own parts, and by a cache of
    its own size."""
    chance = random.Random(context.seed)
    for number in range(ROUNDS):
        menus = (
            [_text(chance, *MENU) for _ in range(chance.randint(1, 3))]
            if number
            else [_text(chance, 24, 24)]
        )
        prompts = [
            chance.choice(menus) + _text(chance, *QUESTION) for _ in range(chance.randint(3, 12))
        ]
        prompts += chance.sample(prompts, 2)
        size = chance.choice((1, 4, 16)) if number else 16
        _judge_served(context, prompts, size)
        _judge_small(context, prompts, size, chance.randint(0, sum(map(len, prompts)) // size // 2))
    contracts = [[*range(50), 100 + number] for number in range(100)]
    printed = served(contracts, 50)
    context.figures.append(
        Figure(
            "tokens computed for 100 contracts of 51", float(printed), "tokens", 5100.0, "uncached"
        )
    )
    FormulaJudge(context).counted(
        "pages_printed",
        "pages",
        printed,
        "So many tokens the engine computed.",
        50,
        1,
        100,
        cached=True,
    )


def served(prompts: Sequence[Prompt], size: int) -> int:
    """Tokens that the engine computes, one request after another, with room for everything."""
    blocks = 2 + sum(len(prompt) // size + 2 for prompt in prompts)
    longest = max(map(len, prompts))
    engine = UnjudgedEngine(
        {slot: part(slot) for slot in SLOTS},
        num_blocks=blocks,
        block_size=size,
        seats=4,
        budget=longest,
    )
    for prompt in prompts:
        engine.serve([(prompt, 1)])
    return engine.computed


def cached_in(prompts: Sequence[Prompt], size: int, capacity: int) -> int:
    """Tokens that the prefix cache of the course does not find when it is held to so many blocks."""
    cache, computed, fresh = part("prefix_cache")(size), 0, 0
    for prompt in prompts:
        computed += len(prompt) - cache.match(prompt[:-1]).length
        full = len(prompt) // size
        cache.insert(prompt[: full * size], list(range(fresh, fresh + full)))
        fresh += full
        cache.evict(max(0, cache.evictable - capacity))
    return computed


def _judge_served(context: CheckContext, prompts: Sequence[Prompt], size: int) -> None:
    context.cases += 1
    because = f"So many the engine computed, of {sum(map(len, prompts))} in {len(prompts)} prompts."
    FormulaJudge(context).counted(
        "computed_tokens", "tokens", served(prompts, size), because, prompts, block_size=size
    )


def _judge_small(
    context: CheckContext, prompts: Sequence[Prompt], size: int, capacity: int
) -> None:
    context.cases += 1
    due, because = (
        cached_in(prompts, size, capacity),
        f"So many the engine's cache, held to {capacity} blocks, lacked.",
    )
    asked = {"block_size": size, "capacity": capacity}
    FormulaJudge(context).counted("computed_tokens", "tokens", due, because, prompts, **asked)


def _text(chance: random.Random, low: int, high: int) -> Prompt:
    return [chance.randrange(1000) for _ in range(chance.randint(low, high))]
