"""Driver of a block manager alone under the grader's clock: sequences come, grow token by token and
leave.

  run   what, size, seed, times, idle     so often: `size` sequences admitted, some steps in which each grows by a token
                                          and its table is read, all freed; a number for the answers

Lengths, steps, blocks and the order of leaving are drawn from the seed. Nothing is shared, so which
blocks are handed out is free; the number is made of how many there were. idle: a stand-in answers,
for the cost of the driver alone.
"""

import random

BLOCK_SIZE = (13, 19)
PROMPTS = (32, 256)
STEPS = (21, 27)
PRIME = 1_000_003
SUMS = 1 << 61


def new(worker_parts, args, keywords):
    return worker_parts.parts["block_manager"]


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    return {"run": run}[method](part, *args)


def run(module, what, size, seed, times, idle):
    made = Known if idle else module.BlockManager
    dice, number = random.Random(seed), 0
    for _ in range(times):
        lengths = [dice.randint(*PROMPTS) for _ in range(size)]
        leaving = dice.sample(range(size), size)
        drawn = dice.randint(*BLOCK_SIZE), dice.randint(*STEPS)
        number = (number * PRIME + _serve(made, lengths, leaving, *drawn)) % SUMS
    return number


def _serve(made, lengths, leaving, block_size, steps):
    blocks = sum(-(-(length + steps) // block_size) for length in lengths)
    manager = made(blocks + 1, block_size)
    number = 0
    for seq, length in enumerate(lengths):
        if manager.can_admit(length):
            number = number * 3 + len(manager.admit(seq, length))
    for step in range(1, steps + 1):
        for seq, length in enumerate(lengths):
            fresh, copies = manager.extend(seq, length + step)
            number += (len(fresh) * 5 + len(copies) * 7) * (step + seq) + len(
                manager.table(seq)
            ) * step
        number %= SUMS
    for seq in leaving:
        number = (number * 3 + len(manager.free(seq)) * 11 + manager.num_free) % SUMS
    return number


class Known:
    """Answers at once, and nobody asks whether rightly."""

    num_free = 0

    def __init__(self, num_blocks, block_size):
        self.nothing: list = []
        self.none = self.nothing, self.nothing

    def can_admit(self, num_tokens):
        return True

    def admit(self, seq, num_tokens):
        return self.nothing

    def extend(self, seq, num_tokens):
        return self.none

    def table(self, seq):
        return self.nothing

    def free(self, seq):
        return self.nothing
