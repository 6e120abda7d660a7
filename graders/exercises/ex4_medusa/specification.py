"""What the five functions of exercise 4 mean, spelled out path by path in plain Python and float64.

Slow on purpose and free of torch: a tree is a list of paths, a batch is a loop over rows. Nothing
here is shared with the solution. `nan` and `-inf` are ordinary floats.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

Path = tuple[int, ...]
Rows = Sequence[Sequence[int]]
Logits = Sequence[Sequence[Sequence[float]]]
NOWHERE = -1


@dataclass(frozen=True)
class PathTree:
    """A tree as its paths in node order: paths[0] = (), and the path of a node lists the ranks that
    lead to it."""

    paths: tuple[Path, ...]

    @classmethod
    def of(cls, choices: Sequence[Path]) -> PathTree:
        """Every choice and every prefix of one, once, by (depth, path). ValueError: none, an empty
        one, a rank < 0."""
        if not choices:
            raise ValueError("no choice at all")
        paths: set[Path] = {()}
        for choice in choices:
            if not choice:
                raise ValueError("an empty choice")
            if any(rank < 0 for rank in choice):
                raise ValueError("a negative rank")
            paths |= {choice[:depth] for depth in range(len(choice) + 1)}
        return cls(tuple(sorted(paths, key=lambda path: (len(path), path))))

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def height(self) -> int:
        """D, the depth of the deepest node."""
        return max(len(path) for path in self.paths)

    @cached_property
    def parent(self) -> list[int]:
        return [NOWHERE] + [self._nodes[path[:-1]] for path in self.paths[1:]]

    @cached_property
    def depth(self) -> list[int]:
        return [len(path) for path in self.paths]

    @cached_property
    def rank(self) -> list[int]:
        return [path[-1] if path else 0 for path in self.paths]

    @cached_property
    def mask(self) -> list[list[bool]]:
        """mask[i][j]: path j is a beginning of path i."""
        beginnings = [{path[:depth] for depth in range(len(path) + 1)} for path in self.paths]
        return [[other in begins for other in self.paths] for begins in beginnings]

    def children(self, node: int) -> list[int]:
        return self._children[node]

    def walk(self, node: int) -> list[int]:
        """The nodes from 0 to `node`."""
        path = self.paths[node]
        return [self._nodes[path[:depth]] for depth in range(len(path) + 1)]

    @cached_property
    def _nodes(self) -> dict[Path, int]:
        return {path: node for node, path in enumerate(self.paths)}

    @cached_property
    def _children(self) -> list[list[int]]:
        children: list[list[int]] = [[] for _ in self.paths]
        for child in range(1, len(self)):
            children[self.parent[child]].append(child)
        return children


@dataclass(frozen=True)
class RowVerdict:
    """The verdict on one row: the nodes of the accepted path, node 0 first, and the token after it."""

    walk: tuple[int, ...]
    next: int

    @property
    def count(self) -> int:
        return len(self.walk) - 1

    def padded(self, height: int) -> list[int]:
        return [*self.walk, *[NOWHERE] * (height - self.count)]


def propose(tree: PathTree, root: int, topk: Sequence[Sequence[int]]) -> list[int]:
    """One row: topk[h - 1][r] is guess r of head h. ValueError: too deep for the heads, or a rank
    no head gives."""
    if tree.height > len(topk):
        raise ValueError("deeper than the heads")
    if any(rank >= len(topk[len(path) - 1]) for path in tree.paths[1:] for rank in path):
        raise ValueError("a rank beyond the guesses")
    return [root] + [topk[len(path) - 1][path[-1]] for path in tree.paths[1:]]


def greedy(tree: PathTree, tokens: Sequence[int], argmax: Sequence[int]) -> list[RowVerdict]:
    """One row: step to a child that says what the model says, until none does. Several where
    siblings say the same; the lowest nodes first."""
    walks, ended = list[tuple[int, ...]]([(0,)]), list[RowVerdict]()
    while walks:
        walk = walks.pop()
        steps = [child for child in tree.children(walk[-1]) if tokens[child] == argmax[walk[-1]]]
        walks += [(*walk, step) for step in reversed(steps)]
        if not steps:
            ended.append(RowVerdict(walk, argmax[walk[-1]]))
    return ended


@dataclass(frozen=True, slots=True)
class TypicalRule:
    """The numbers of the typical rule; `seed` of the generator, or None for the argmax; used: how
    many numbers the generator has given before."""

    temperature: float = 1.0
    epsilon: float = 0.5
    delta: float = 0.5
    seed: int | None = None
    used: int = 0

    def __str__(self) -> str:
        words = f"temperature={self.temperature}, epsilon={self.epsilon}, delta={self.delta}"
        used = f", {self.used} numbers drawn before" if self.used else ""
        return words + (f", generator=<seed {self.seed}{used}>" if self.seed is not None else "")


def softmax(logits: Sequence[float], temperature: float) -> list[float]:
    """NaN everywhere if one logit is NaN."""
    if any(math.isnan(logit) for logit in logits):
        return [math.nan] * len(logits)
    top = max(logits)
    weights = [math.exp((logit - top) / temperature) for logit in logits]
    total = math.fsum(weights)
    return [weight / total for weight in weights]


def entropy(p: Sequence[float]) -> float:
    """In nats."""
    return (
        -math.fsum(x * math.log(x) for x in p if x > 0) if not any(map(math.isnan, p)) else math.nan
    )


def bar(p: Sequence[float], epsilon: float, delta: float) -> float:
    """What p(token) must exceed."""
    return min(epsilon, delta * math.exp(-entropy(p)))


@dataclass(frozen=True)
class Typical:
    """One row judged by the typical rule.

    verdicts: those that are right, one unless siblings say the same. closeness: how near the
    nearest decision was to going the other way, relative; a case below 1e-3 or so is left to
    rounding and says nothing about a part.
    """

    verdicts: list[RowVerdict]
    closeness: float


def typical(
    tree: PathTree,
    tokens: Sequence[int],
    logits: Sequence[Sequence[float]],
    temperature: float,
    epsilon: float,
    delta: float,
) -> Typical:
    """One row with `next` the argmax; temperature 0 is greedy."""
    if temperature == 0:
        return _cold(tree, tokens, logits)
    p = [softmax(row, temperature) for row in logits]
    needed = [bar(row, epsilon, delta) for row in p]
    chance = [0.0] + [
        p[parent][token] for parent, token in zip(tree.parent[1:], tokens[1:], strict=True)
    ]
    ends, closeness = winners(
        tree, tokens, chance, [0.0] + [needed[parent] for parent in tree.parent[1:]]
    )
    verdicts = [RowVerdict(tuple(tree.walk(end)), top_token(logits[end])) for end in ends]
    return Typical(verdicts, min(closeness, *(_lead(logits[end], temperature) for end in ends)))


def winners(
    tree: PathTree, tokens: Sequence[int], chance: Sequence[float], needed: Sequence[float]
) -> tuple[list[int], float]:
    """Where the longest path ends on which every node's chance exceeds what is needed; and how near
    that was.

    Several ends only where siblings say the same, the lowest first.
    """
    stands, margins = {0: 0.0}, [1.0]
    for node in range(1, len(tree)):
        parent = tree.parent[node]
        if parent not in stands or math.isnan(chance[node]):
            continue
        if chance[node] not in (0.0, 1.0):
            margins.append(abs(chance[node] - needed[node]) / max(chance[node], needed[node]))
        if chance[node] > needed[node]:
            stands[node] = stands[parent] + math.log(chance[node])
    ends, gap = _likeliest(tree, tokens, stands)
    return ends, min(gap, *margins)


def compaction(walk: Sequence[int], slots: Sequence[int]) -> set[tuple[int, int]]:
    """One row: the moves (from, to), those onto themselves left out."""
    return {
        (slots[node], slots[place])
        for place, node in enumerate(walk)
        if slots[node] != slots[place]
    }


def _cold(tree: PathTree, tokens: Sequence[int], logits: Sequence[Sequence[float]]) -> Typical:
    tops = [NOWHERE if any(map(math.isnan, row)) else top_token(row) for row in logits]
    verdicts = greedy(tree, tokens, tops)
    return Typical(
        verdicts, min(_lead(logits[node], 1.0) for verdict in verdicts for node in verdict.walk)
    )


def _likeliest(
    tree: PathTree, tokens: Sequence[int], stands: dict[int, float]
) -> tuple[list[int], float]:
    """The ends of the winning path, and by how much its sum of ln p leads (exact ties aside)."""
    longest = max(tree.depth[node] for node in stands)
    ends = {node: score for node, score in stands.items() if tree.depth[node] == longest}
    best = max(ends.values())
    said = {node: [tokens[step] for step in tree.walk(node)] for node in ends}
    first = min(node for node in ends if ends[node] == best)
    gap = min(
        (abs(best - score) for node, score in ends.items() if said[node] != said[first]),
        default=1.0,
    )
    return [node for node in ends if ends[node] == best and said[node] == said[first]], gap


def top_token(logits: Sequence[float]) -> int:
    """The lowest index of the largest."""
    return max(range(len(logits)), key=lambda token: (logits[token], -token)) if logits else NOWHERE


def _lead(logits: Sequence[float], temperature: float) -> float:
    """By how much the largest logit leads the others, at most 1; 0 when two are largest, or one is
    NaN."""
    if any(map(math.isnan, logits)):
        return 0.0
    best, second = sorted(logits, reverse=True)[:2]
    return min(1.0, (best - second) / temperature)
