"""Right: a trie with a node for every block; the leaf that goes is looked for among all nodes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence


class Node:
    def __init__(self, parent: Node | None, block: tuple[int, ...]) -> None:
        self.parent, self.block = parent, block
        self.children: dict[tuple[int, ...], Node] = {}
        self.tick = 0

    def below(self) -> Iterator[Node]:
        for child in self.children.values():
            yield child
            yield from child.below()


def blocks_of(tokens: Sequence[int], block_size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(tokens) - block_size + 1, block_size):
        yield tuple(tokens[start : start + block_size])


def found_in(root: Node, tokens: Sequence[int], block_size: int) -> int:
    node, found = root, 0
    for block in blocks_of(tokens, block_size):
        if block not in node.children:
            break
        node = node.children[block]
        found += block_size
    return found


def computed_tokens(prompts: Sequence[Sequence[int]], block_size: int, capacity: int | None = None) -> int:
    root, computed = Node(None, ()), 0
    for tick, prompt in enumerate(prompts, 1):
        computed += len(prompt) - found_in(root, prompt[:-1], block_size)
        node = root
        for block in blocks_of(prompt, block_size):
            if block not in node.children:
                node.children[block] = Node(node, block)
            node = node.children[block]
            node.tick = tick
        nodes = list(root.below())
        while capacity is not None and len(nodes) > capacity:
            leaf = min((each for each in nodes if not each.children), key=lambda each: each.tick)
            del leaf.parent.children[leaf.block]
            nodes.remove(leaf)
    return computed


def hit_rate(prompts: Sequence[Sequence[int]], block_size: int, capacity: int | None = None) -> float:
    total = 0
    for prompt in prompts:
        total += len(prompt)
    if total == 0:
        return 0.0
    return 1 - computed_tokens(prompts, block_size, capacity) / total


def pages_printed(shared: int, own: int, contracts: int, cached: bool) -> int:
    if cached:
        return shared + contracts * own
    return contracts * (shared + own)
