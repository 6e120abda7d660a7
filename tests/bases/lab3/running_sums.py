"""Right: sums that run along, and the seats as a sorted list."""

from __future__ import annotations

from bisect import bisect_right, insort
from collections.abc import Sequence
from itertools import accumulate


def held_paged(lengths: Sequence[int], block_size: int, num_blocks: int) -> int:
    taken = list(accumulate((length + block_size - 1) // block_size for length in lengths))
    return bisect_right(taken, num_blocks - 1)


def held_contiguous(lengths: Sequence[int], reserve: int, num_slots: int) -> int:
    notebooks = num_slots // reserve
    return len(lengths[:notebooks])


def wasted_share(lengths: Sequence[int], block_size: int) -> float:
    empty = sum(-length % block_size for length in lengths)
    slots = empty + sum(lengths)
    return empty / slots if slots else 0.0


def steps_static(answers: Sequence[int], seats: int) -> int:
    steps, start = 0, 0
    while start < len(answers):
        longest = max(answers[start : start + seats])
        steps += longest
        start += seats
    return steps


def steps_continuous(answers: Sequence[int], seats: int) -> int:
    free = [0] * seats
    for answer in answers:
        begin = free.pop(0)
        insort(free, begin + answer)
    return free[-1]


def requests_in_flight(rate: float, seconds_each: float) -> float:
    return seconds_each * rate
