"""The laws that close exercises 1 to 3: the part among its fellows in the whole engine, and what it
is good for."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from graders.checking.check_context import CheckContext
from graders.checking.random_cases import Case, explore
from graders.result import Figure
from graders.simulation.backend import InProcessBackend
from graders.simulation.engine import RunCounters, SimulatedEngine
from graders.simulation.judge import judge
from graders.simulation.load_companions import company
from graders.simulation.scheduler_rules import EngineSetting
from graders.simulation.script import EngineMove, EngineScript
from graders.simulation.toy_model import TextNumbers

Request = tuple[list[int], int]  # prompt, max_new


def same_tokens(
    context: CheckContext, *, cases: int = 60, besides: Callable[[CheckContext], None]
) -> None:
    """Any requests in any engine: every read right, every plan within the rules, every output the
    model's.

    besides: what else is tried, or measured, with the same workers.
    """
    with company(context) as joined:
        explore(joined, anything, cases=cases, moves=16)
        besides(joined)


def anything(context: CheckContext, case: Case) -> None:
    """One random engine and its requests, which share the beginnings of their prompts."""
    script = random_script(case)
    judge(context, script, label="engine", conserving=context.others != "naive")


def random_script(case: Case) -> EngineScript:
    """Any engine, any requests: setup and moves of the case, the rest seeded by its first code."""
    setup, chance = case.setup, random.Random(case.codes[0])
    setting = _random_setting(
        setup.pick((0, 0, 2, 1, 3)), setup.pick((8, 24, 6, 12)), setup.pick((2, 1, 3, 4)), chance
    )
    toy = TextNumbers(chance.choice((2, 5)))
    script = EngineScript(setting, toy, [chance.randint(0, setting.lookahead) for _ in range(7)])
    menu = _tokens(chance, 12, toy.vocabulary)
    for id, move in enumerate(case.moves, 1):
        kind = move.pick(("add", "step", "step", "add", "abort"))
        if kind == "add":
            answer = move.number(1, 6)
            prompt = menu[: move.pick((8, 0, 4, 12, 5))] + _tokens(
                chance, move.number(1, 4), toy.vocabulary
            )
            prompt = prompt[: max(1, setting.capacity - setting.lookahead - answer)]
            script.add(
                id, prompt, answer, priority=chance.randrange(3), eos=chance.choice((None, 0))
            )
        elif kind == "step":
            script.step()
        else:
            script.plan() if move.pick((False, True)) else None
            script.abort(move.number(0, 7))
            script.commit()
    script.drain()
    return script


def _random_setting(
    lookahead: int, num_blocks: int, block_size: int, chance: random.Random
) -> EngineSetting:
    return EngineSetting(
        num_blocks=num_blocks + chance.randrange(4),
        block_size=block_size,
        watermark=chance.choice((0, 0, 1)),
        max_seqs=chance.randint(1, 6),
        token_budget=chance.choice((16, 3, 1, 6, 64)) + lookahead,
        chunk=chance.choice((None, 1, 2, 5)),
        lookahead=lookahead,
        policy=chance.choice(("fcfs", "priority")),
        cache=chance.random() < 0.7,
        offer=chance.random() < 0.5,
    )


# ---------------------------------------------------------------- what it is good for


def static_batching(context: CheckContext) -> None:
    """Figures: steps and waiting for a batch of requests, beside those of the scheduler that waits
    for whole tables.

    context: one whose worker holds the other parts too, as everywhere below.
    """
    chance = random.Random(2)
    requests = [(_tokens(chance, chance.randint(4, 20)), chance.randint(2, 40)) for _ in range(24)]
    script = crowd(EngineSetting(num_blocks=200, max_seqs=8), requests)
    own = served(context, script)
    static = SimulatedEngine(InProcessBackend({}), script, conserving=False)
    static.judge()
    for name, mine, theirs in (
        ("steps for 24 requests on 8 seats", own.steps, static.counters.steps),
        ("longest wait for a first token", own.longest, static.counters.longest),
    ):
        context.figures.append(Figure(name, mine, "steps", theirs, "static batching"))


def photocopier(context: CheckContext) -> None:
    """Figure: 100 contracts of 50 common pages and one own page each, in pages that are really
    written."""
    chance = random.Random(3)
    common = _tokens(chance, 50 * 4)
    contracts = [([*common, *_tokens(chance, 4)], 1) for _ in range(100)]
    setting = EngineSetting(num_blocks=400, max_seqs=20, token_budget=1024, cache=True, offer=True)
    script = crowd(setting, contracts)
    # the first contract is printed, then all the others come at once
    script.moves[1:1] = _one_step(setting)
    own = served(context, script)
    pages = -(-own.computed // setting.block_size)
    context.figures.append(
        Figure("pages computed for 100 contracts of 51", pages, "pages", 5100, "no prefix cache")
    )


def _one_step(setting: EngineSetting) -> list[EngineMove]:
    script = EngineScript(setting)
    script.step()
    return script.moves


def crowd(setting: EngineSetting, requests: Sequence[Request]) -> EngineScript:
    """All of them come at once, and are served to the end."""
    script = EngineScript(setting)
    for id, (prompt, answer) in enumerate(requests):
        script.add(id, prompt, answer)
    script.drain()
    return script


def served(context: CheckContext, script: EngineScript) -> RunCounters:
    """What it took to serve these requests; raises Broken for what `anything` does."""
    return judge(context, script, label="engine", conserving=context.others != "naive")


def _tokens(chance: random.Random, count: int, vocabulary: int = 5) -> list[int]:
    return [chance.randrange(vocabulary) for _ in range(count)]
