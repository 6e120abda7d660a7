"""Right: an ordered dict of chained blocks, oldest first; a prompt moves its blocks to the end, the last one first."""

from collections import OrderedDict


def computed_tokens(prompts, block_size, capacity=None):
    stored = OrderedDict()
    total = 0
    for prompt in prompts:
        tokens = tuple(prompt)
        chain, key = [], None
        for start in range(0, len(tokens) // block_size * block_size, block_size):
            key = (key, tokens[start : start + block_size])
            chain.append(key)
        usable = (len(tokens) - 1) // block_size
        found = 0
        while found < usable and chain[found] in stored:
            found += 1
        total += len(tokens) - found * block_size
        for key in reversed(chain):
            stored[key] = True
            stored.move_to_end(key)
        if capacity is not None:
            while len(stored) > capacity:
                stored.popitem(last=False)
    return total


def hit_rate(prompts, block_size, capacity=None):
    tokens = sum(len(prompt) for prompt in prompts)
    cached = tokens - computed_tokens(prompts, block_size, capacity)
    return cached / tokens if tokens else 0.0


def pages_printed(shared, own, contracts, cached):
    pages = own * contracts
    copies = 1 if cached else contracts
    return pages + copies * shared
