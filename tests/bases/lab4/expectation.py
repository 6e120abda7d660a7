"""Right: expected tokens are walked down from the root; the best tree grows guess by guess from a heap."""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence

Path = tuple[int, ...]


def tokens_a_pass_chain(alpha: float, depth: int) -> float:
    expected = 1.0
    for _ in range(depth):
        expected = 1.0 + alpha * expected
    return expected


def tokens_a_pass_tree(choices: Sequence[Path], share: Mapping[Path, float]) -> float:
    children: dict[Path, list[Path]] = {}
    seen = set()
    for choice in choices:
        for depth in range(len(choice)):
            node = choice[: depth + 1]
            if node not in seen:
                seen.add(node)
                children.setdefault(choice[:depth], []).append(node)

    def yielded(node: Path) -> float:
        return sum(share[child] * (1.0 + yielded(child)) for child in children.get(node, []))

    return 1.0 + yielded(())


def best_choices(share: Mapping[Path, float], size: int) -> list[Path]:
    below: dict[Path, list[Path]] = {}
    for path in share:
        below.setdefault(path[:-1], []).append(path)
    heap = [(-share[path], path) for path in below.get((), [])]
    heapq.heapify(heap)
    chosen = []
    while heap and len(chosen) < size:
        negative, path = heapq.heappop(heap)
        chosen.append(path)
        for child in below.get(path, []):
            heapq.heappush(heap, (negative * share[child], child))
    return chosen


def speed_up(tokens_a_pass: float, pass_cost: float) -> float:
    seconds_a_token = pass_cost / tokens_a_pass
    return 1.0 / seconds_a_token
