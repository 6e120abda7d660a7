"""Lab 3: how many guests are in at once, and how many steps it takes to serve them. The conveyor belt and the sheets.

Six formulas. "Continuous batching lets an engine serve a hundred users" is three effects in one sentence: a batch
shares the reading of the weights (lab 1), nobody waits for the slowest of a batch, and paging makes room for a larger
one. The formulas tell them apart; the experiment switches them on one by one and measures each.

Lengths and answers are counted in tokens and are at least 1. Nothing that is given is changed.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def held_paged(lengths: Sequence[int], block_size: int, num_blocks: int) -> int:
    """How many of these conversations are in memory at once, taken in order until one does not fit.

    A conversation takes whole blocks of `block_size` tokens. Block 0 of the `num_blocks` is scratch: nobody gets it.
    Nobody overtakes: behind the first that does not fit, none is taken, however short.

    >>> held_paged([5, 4, 9], block_size=4, num_blocks=7), held_paged([5, 9, 1], block_size=4, num_blocks=5)
    (3, 1)
    """
    ### BEGIN SOLUTION
    free = num_blocks - 1
    for held, length in enumerate(lengths):
        free -= -(-length // block_size)
        if free < 0:
            return held
    return len(lengths)
    ### END SOLUTION


def held_contiguous(lengths: Sequence[int], reserve: int, num_slots: int) -> int:
    """How many of these conversations are in memory at once when each is given `reserve` slots, used or not.

    num_slots: tokens that the memory holds. No conversation is longer than what is reserved for it.

    >>> held_contiguous([5, 4, 9, 2], reserve=10, num_slots=39)
    3
    """
    ### BEGIN SOLUTION
    return min(len(lengths), num_slots // reserve)
    ### END SOLUTION


def wasted_share(lengths: Sequence[int], block_size: int) -> float:
    """The share of the slots in these conversations' blocks that holds no token, 0.0 to 1.0; of none at all 0.0.

    >>> wasted_share([5, 3], block_size=4), wasted_share([32], block_size=128)
    (0.3333333333333333, 0.75)
    """
    ### BEGIN SOLUTION
    reserved = sum(-(-length // block_size) for length in lengths) * block_size
    return (reserved - sum(lengths)) / reserved if reserved else 0.0
    ### END SOLUTION


def steps_static(answers: Sequence[int], seats: int) -> int:
    """Steps until all have their answer, in batches of `seats`, in order: each goes on until its longest is done.

    A step says one token to everybody in the batch who is not done. Reading the prompts is the first step of a batch,
    and says the first token; so an answer of n tokens takes n steps.

    >>> steps_static([2, 9, 3, 3], seats=2)
    12
    """
    ### BEGIN SOLUTION
    return sum(max(answers[start : start + seats]) for start in range(0, len(answers), seats))
    ### END SOLUTION


def steps_continuous(answers: Sequence[int], seats: int) -> int:
    """Steps until all have their answer when a seat that falls free is taken in the next step, in order.

    A step serves all seats that are taken: whoever sits down has their prompt read in it, which says their first token,
    and everybody else is said one token more. An answer of n tokens takes n steps.

    >>> steps_continuous([2, 9, 3, 3], seats=2)
    9
    """
    ### BEGIN SOLUTION
    free = [0] * seats  # the step after which each seat is free
    for answer in answers:
        heapq.heapreplace(free, free[0] + answer)
    return max(free)
    ### END SOLUTION


def requests_in_flight(rate: float, seconds_each: float) -> float:
    """How many requests are in the engine at a time, on average, when `rate` of them come a second and each stays so
    long. Little's law: it holds whatever happens inside, as long as the engine keeps up.

    >>> requests_in_flight(rate=4.0, seconds_each=2.5)
    10.0
    """
    ### BEGIN SOLUTION
    return rate * seconds_each
    ### END SOLUTION
