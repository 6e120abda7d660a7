"""Driver of a scheduler alone under the grader's clock: requests come at once and are served to
their ends.

  run   what, size, seed, times, idle     so often: `size` requests, planned and committed until all have finished; a
                                          number for the plans and for who finished when

There is KV memory and budget for all of them. Prompts, answers, tokens and the budget are drawn
from the seed. idle: a stand-in answers, for the cost of the driver alone; it plans for all of them
in each step, as the real one does.
"""

import random

from reference_engine.slots import Chunk, Plan, Request

PROMPTS = (16, 64)
ANSWERS = (16, 32)
BUDGET = (12_000, 20_000)
BLOCK_SIZE = (13, 19)
PRIME = 1_000_003
SUMS = 1 << 61


def new(worker_parts, args, keywords):
    return worker_parts.parts["scheduler"]


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    return {"run": run}[method](part, *args)


def run(module, what, size, seed, times, idle):
    made = Known if idle else module.Scheduler
    dice, number = random.Random(seed), 0
    for _ in range(times):
        asked = [
            (dice.choices(range(1000), k=dice.randint(*PROMPTS)), dice.randint(*ANSWERS))
            for _ in range(size)
        ]
        memory, budget = Memory(dice.randint(*BLOCK_SIZE)), dice.randint(*BUDGET)
        number = (number * PRIME + _serve(made, asked, memory, budget, dice.randrange(1000))) % SUMS
    return number


def _serve(made, asked, memory, budget, token):
    scheduler = made(memory, max_seqs=len(asked), token_budget=budget)
    for id, (prompt, max_new) in enumerate(asked):
        scheduler.add(Request(id, prompt, max_new))
    number = step = 0
    said = [token]
    while not scheduler.idle:
        step += 1
        plan = scheduler.plan()
        told = {}
        for chunk in plan.chunks:
            number += (chunk.id + 1) * (chunk.start * 3 + chunk.length * 5 + step)
            if chunk.samples:
                told[chunk.id] = said
        for id in scheduler.commit(plan, told):
            number += (id + 7) * step * 11
        number %= SUMS
    return number


class Memory:
    """A KV manager with room for everybody."""

    capacity = 1 << 20

    def __init__(self, block_size):
        self.block_size = block_size

    def lookup(self, tokens):
        return 0

    def admit(self, id, tokens, num_tokens):
        return 0

    def extend(self, id, num_tokens):
        return []

    def truncate(self, id, num_tokens):
        pass

    def drop(self, id, tokens):
        pass


class Known:
    """Plans the same step for all who came, until the longest answer has been said."""

    def __init__(self, kv, *, max_seqs, token_budget):
        self.chunks = []
        self.left = 0

    @property
    def idle(self):
        return self.left == 0

    def add(self, request):
        self.chunks.append(Chunk(request.id, 0, 1, True))
        self.left = max(self.left, request.max_new)

    def plan(self):
        return Plan(tuple(self.chunks), (), ())

    def commit(self, plan, tokens):
        self.left -= 1
        return ()
