"""Which tree of N nodes is worth most, given how often each path of guesses is right. Imports no
torch.

A pass yields one token for node 0's successor and one more for every node of the accepted path. So
a tree is worth the sum, over its nodes, of the chance that the node's whole path is right; a path
is never likelier than its beginning. Hence the N - 1 likeliest paths make the best tree, and they
are closed under taking prefixes (the greedy expansion of Medusa, section 2.3.3 of arXiv 2401.10774,
is optimal here).
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File

Path = tuple[int, ...]
TREE = "tree.json"
CPU_NODES = 5
"""On a CPU further rows of a product are soon no longer free: the best of few nodes gains more than the whole tree."""


@dataclass(frozen=True, slots=True)
class TreeChoice:
    """A tree and what it promises. chances: of the paths in `choices`, in their order.

    expected: tokens a pass, the model's own one included.
    """

    choices: tuple[Path, ...]
    chances: tuple[float, ...]

    @property
    def nodes(self) -> int:
        """N, node 0 included."""
        return len(self.choices) + 1

    @property
    def depth(self) -> int:
        """D."""
        return max(map(len, self.choices))

    @property
    def guesses(self) -> int:
        """How many guesses of a head it uses at most."""
        return 1 + max(max(path) for path in self.choices)

    @property
    def expected(self) -> float:
        """Tokens that a pass is expected to yield."""
        return 1.0 + sum(self.chances)

    def pruned(self, nodes: int) -> TreeChoice:
        """The best tree of fewer nodes: the likeliest paths come first in `choices`."""
        return TreeChoice(self.choices[: nodes - 1], self.chances[: nodes - 1])


def choose_tree(chances: Mapping[Path, float], nodes: int) -> TreeChoice:
    """The tree of at most `nodes` nodes that yields most, likeliest paths first. Raises ValueError
    for nodes < 2."""
    if nodes < 2 or not chances:
        raise ValueError(f"a tree of {nodes} nodes over {len(chances)} paths guesses nothing")
    ranked = sorted(chances, key=lambda path: (-chances[path], len(path), path))[: nodes - 1]
    return TreeChoice(tuple(ranked), tuple(chances[path] for path in ranked))


def path_chances(ranks: Iterable[Sequence[int]], total: int) -> dict[Path, float]:
    """How often each path is right. ranks: of each position, the place of the true token among the
    guesses of head 1, 2, ..., up to the first head that misses it. total: positions, those without
    a right guess included.
    """
    counts: Counter[Path] = Counter()
    for places in ranks:
        counts.update(tuple(places[:depth]) for depth in range(1, len(places) + 1))
    return {path: count / total for path, count in counts.items()}


def write_tree(tree: TreeChoice, folder: File) -> None:
    """Stores the tree beside the heads that it was measured with."""
    content = {"choices": [list(path) for path in tree.choices], "chances": list(tree.chances)}
    (folder / TREE).write_text(json.dumps(content) + "\n")


def read_tree(folder: File) -> TreeChoice:
    """The tree stored beside heads. Raises ValueError or OSError when it is not there or not a
    tree."""
    content = json.loads((folder / TREE).read_text())
    return TreeChoice(tuple(tuple(path) for path in content["choices"]), tuple(content["chances"]))


def tree_for(device: str, folder: File) -> TreeChoice:
    """The tree stored beside heads, as large as it pays on a type of device ("cpu", "cuda"). Raises
    as `read_tree`."""
    tree = read_tree(folder)
    return tree.pruned(min(CPU_NODES, tree.nodes)) if device == "cpu" else tree
