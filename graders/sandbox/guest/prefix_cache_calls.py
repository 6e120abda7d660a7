"""Driver of a prefix cache alone under the grader's clock: requests whose prompts open like
others', and eviction.

  run   what, size, seed, times, idle     so often: `size` requests, each matched, locked, inserted with its answer and
                                          unlocked; every eighth time some blocks are evicted; a
                                          number for the answers

Prompts and the size of a block are drawn from the seed: one of four openings, then words of their
own. Everything returned is fixed by the contract, the order of eviction too. idle: a stand-in
answers, for the cost of the driver.
"""

import random
from array import array

from reference_engine.slots import Inserted, Match

BLOCK_SIZE = (13, 19)
OPENINGS = 4
OPENING = 26 * 16
OWN = (16, 96)
EVICTED = (9, 15)
PRIME = 1_000_003
SUMS = 1 << 61


def new(worker_parts, args, keywords):
    return worker_parts.parts["prefix_cache"]


def watch(worker_parts, part, wanted):
    return None


def call(part, method, args):
    return {"run": run}[method](part, *args)


def run(module, what, size, seed, times, idle):
    made = Known if idle else module.PrefixCache
    dice, number = random.Random(seed), 0
    for _ in range(times):
        prompts, drawn = _prompts(dice, size), (dice.randint(*BLOCK_SIZE), dice.randint(*EVICTED))
        number = (number * PRIME + _serve(made, prompts, *drawn)) % SUMS
    return number


def _prompts(dice, size):
    words = array("H", dice.randbytes(2 * (OPENINGS * OPENING + size * OWN[1]))).tolist()
    openings = [words[start * OPENING :][:OPENING] for start in range(OPENINGS)]
    own = words[OPENINGS * OPENING :]
    lengths = [dice.randint(*OWN) for _ in range(size)]
    return [
        openings[dice.randrange(OPENINGS)] + own[at * OWN[1] :][:length]
        for at, length in enumerate(lengths)
    ]


def _serve(made, prompts, block_size, evicted):
    cache, number, fresh = made(block_size), 0, 1
    for turn, tokens in enumerate(prompts, 1):
        match = cache.match(tokens)
        if match.length:
            cache.lock(match.node)
        blocks = list(match.blocks)
        lacking = len(tokens) // block_size - len(blocks)
        blocks += range(fresh, fresh + lacking)
        fresh += lacking
        stored = cache.insert(tokens, blocks)
        if match.length:
            cache.unlock(match.node)
        number += (match.length * 3 + stored.reused * 5) * turn
        if turn % 8 == 0:
            for place, block in enumerate(cache.evict(evicted), 1):
                number += block * place
        number = (number + cache.evictable * 7 + cache.protected * 11) % SUMS
    return number


class Known:
    """Answers at once, and nobody asks whether rightly."""

    evictable = protected = 0

    def __init__(self, block_size):
        self.nothing = Match(0, (), None)
        self.kept = Inserted(0, None)

    def match(self, tokens):
        return self.nothing

    def insert(self, tokens, blocks):
        return self.kept

    def lock(self, node):
        pass

    def unlock(self, node):
        pass

    def evict(self, num_blocks):
        return ()
