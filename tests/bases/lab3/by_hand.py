"""Right: everything is played through, sheet by sheet and step by step."""

from collections import deque


def sheets(length, block_size):
    whole, rest = divmod(length, block_size)
    return whole + (1 if rest else 0)


def held_paged(lengths, block_size, num_blocks):
    used = 1
    held = 0
    for length in lengths:
        used += sheets(length, block_size)
        if used > num_blocks:
            break
        held += 1
    return held


def held_contiguous(lengths, reserve, num_slots):
    held = 0
    for _ in lengths:
        if num_slots < reserve:
            break
        num_slots -= reserve
        held += 1
    return held


def wasted_share(lengths, block_size):
    empty = total = 0
    for length in lengths:
        slots = sheets(length, block_size) * block_size
        total += slots
        empty += slots - length
    if not total:
        return 0.0
    return empty / total


def steps_static(answers, seats):
    waiting, steps = deque(answers), 0
    while waiting:
        batch = [waiting.popleft() for _ in range(min(seats, len(waiting)))]
        steps += max(batch)
    return steps


def steps_continuous(answers, seats):
    waiting, left, steps = deque(answers), [], 0
    while waiting or left:
        while waiting and len(left) < seats:
            left.append(waiting.popleft())
        left = [each - 1 for each in left if each > 1]
        steps += 1
    return steps


def requests_in_flight(rate, seconds_each):
    return float(rate) * float(seconds_each)
