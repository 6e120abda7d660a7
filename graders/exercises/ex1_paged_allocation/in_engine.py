"""Law 1.11: the block manager among its fellows in the engine without a model, whose memory knows
what it holds; more requests in it than contiguous KV has room for; and several samples of one
prompt, which share its pages.

This needs no model, and no torch. Unless the timed laws are left out, samples come in the real
engine too (`samples_in_engine`), and the timed law reads what the parts say there.
"""

from __future__ import annotations

import random

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Step
from graders.checking.random_cases import Case, explore
from graders.exercises.ex1_paged_allocation.judge import BlockManagerJudge
from graders.exercises.ex1_paged_allocation.operations import BlockManagerScript
from graders.exercises.ex1_paged_allocation.samples_in_engine import samples_in_engine
from graders.result import Figure
from graders.simulation import engine_laws
from graders.simulation.scheduler_rules import EngineSetting

BLOCK_SIZE = 16
LONGEST = 1024  # tokens that contiguous reservation keeps ready for each
NUM_BLOCKS = 1 + 2 * LONGEST // BLOCK_SIZE
REQUESTS = 32
PROMPTS, ANSWERS = (24, 160), (16, 40)  # tokens
SEVERAL = 3.0  # times as many requests as contiguous reservation
SAID = 24  # tokens of each sample


def same_tokens(context: CheckContext) -> None:
    """Raises Broken for a wrong read or token, for too few requests at once, or pages that samples
    do not share."""
    _without_a_model(context)
    if not context.laws_only:
        samples_in_engine(context)


def _without_a_model(context: CheckContext) -> None:
    engine_laws.same_tokens(context, cases=30, besides=many_at_once)
    explore(context, samples, cases=6, moves=0)


def many_at_once(context: CheckContext) -> None:
    """Figure: requests that hold blocks at once, in the memory that contiguous reservation would
    fill with two."""
    chance = random.Random(context.seed)
    lengths = [(chance.randint(*PROMPTS), chance.randint(*ANSWERS)) for _ in range(REQUESTS)]
    requests = [
        ([chance.randrange(5) for _ in range(prompt)], answer) for prompt, answer in lengths
    ]
    setting = EngineSetting(NUM_BLOCKS, BLOCK_SIZE, max_seqs=REQUESTS, token_budget=LONGEST)
    served = engine_laws.served(context, engine_laws.crowd(setting, requests))
    contiguous = _contiguous([prompt for prompt, _ in lengths])
    figure = Figure(
        "requests held at once", served.together, "requests", contiguous, "contiguous reservation"
    )
    context.figures.append(figure)
    if served.together < SEVERAL * contiguous:
        recorder = CallRecorder(context, "block_manager", "engine")
        recorder.steps.append(
            Step(f"serve({REQUESTS} requests on {NUM_BLOCKS} blocks)", f"{served.steps} steps")
        )
        message = f"No more than {served.together} requests were in at once; contiguous reservation holds {contiguous}."
        expected = f"at least {SEVERAL:.0f} times as many"
        recorder.broken(
            message, got=f"{served.together} requests", expected=expected, method="admit"
        )


def _contiguous(prompts: list[int]) -> int:
    """How many of these requests are in at once when each is given room for the longest text."""
    from reference_engine.naive import BlockManager

    naive = BlockManager(NUM_BLOCKS, BLOCK_SIZE)
    for held, prompt in enumerate(prompts):
        if not naive.can_admit(prompt):
            return held
        naive.admit(held, prompt)
    return len(prompts)


def samples(context: CheckContext, case: Case) -> None:
    """A prompt of some pages, forked by each sample of it; all of them write on, in an order that
    is drawn."""
    setup, chance = case.setup, random.Random(case.codes[0])
    count, pages, tail = (
        setup.pick((2, 3, 5, 8)),
        setup.number(1, 9),
        setup.pick((5, 1, 16, 2, 15, 9)),
    )
    prompt = (pages - 1) * BLOCK_SIZE + tail
    script = BlockManagerScript(NUM_BLOCKS, BLOCK_SIZE)
    script.admit(0, prompt)
    for sample in range(1, count):
        script.fork(chance.randrange(sample), sample)
    for said in (1, chance.randint(2, SAID - 1), SAID):
        for sample in chance.sample(range(count), count):
            script.extend(sample, prompt + said)
    for sample in chance.sample(range(count), count):
        script.free(sample)
    BlockManagerJudge(context, script).judge()
