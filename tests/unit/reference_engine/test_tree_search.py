"""The tree that is worth most, and the cost model that says whether any tree is."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest

from reference_engine.medusa.break_even import BreakEven, Cost
from reference_engine.medusa.tree_search import (
    CPU_NODES,
    TreeChoice,
    choose_tree,
    path_chances,
    read_tree,
    tree_for,
    write_tree,
)

BREAK_EVEN = BreakEven(
    3.0, (Cost(1, 1.0, 1.5), Cost(4, 1.0, 2.0), Cost(16, 1.0, 6.0), Cost(64, 1.0, 14.0))
)


def closed(paths: tuple[tuple[int, ...], ...]) -> bool:
    return all(path[:-1] in paths or len(path) == 1 for path in paths)


def random_chances(dice: random.Random) -> dict[tuple[int, ...], float]:
    ranks = [[dice.randrange(3) for _ in range(dice.randint(0, 3))] for _ in range(40)]
    return path_chances(ranks, 40)


@pytest.mark.parametrize("seed", range(20))
def test_no_tree_of_as_many_nodes_is_worth_more(seed: int) -> None:
    chances = random_chances(random.Random(seed))
    best = choose_tree(chances, 5)
    assert closed(best.choices)
    for paths in itertools.combinations(chances, min(4, len(chances))):
        if closed(paths):
            assert 1 + sum(chances[path] for path in paths) <= best.expected + 1e-9


def test_path_chances_count_beginnings() -> None:
    assert path_chances([[0, 1], [0], []], 4) == {(0,): 0.5, (0, 1): 0.25}


def test_a_smaller_tree_is_a_part_of_the_larger() -> None:
    chances = random_chances(random.Random(1))
    assert choose_tree(chances, 8).pruned(4) == choose_tree(chances, 4)


@pytest.mark.parametrize("nodes", [0, 1])
def test_a_tree_without_guesses_is_refused(nodes: int) -> None:
    with pytest.raises(ValueError):
        choose_tree({(0,): 0.5}, nodes)


def test_a_stored_tree_comes_back(tmp_path: Path) -> None:
    tree = TreeChoice(((0,), (0, 0), (1,)), (0.5, 0.25, 0.125))
    write_tree(tree, tmp_path)
    assert read_tree(tmp_path) == tree
    assert (tree.nodes, tree.depth, tree.guesses, tree.expected) == (4, 2, 2, 1.875)
    assert json.loads((tmp_path / "tree.json").read_text())["choices"] == [[0], [0, 0], [1]]


def test_speculation_pays_while_a_tree_step_costs_less_than_it_yields() -> None:
    assert [BREAK_EVEN.worth(batch) for batch in (1, 4, 16, 64)] == [True, True, False, False]
    assert BREAK_EVEN.limit == 4


def test_costs_between_and_beyond_the_measured_batches() -> None:
    assert BREAK_EVEN.gain(10) == pytest.approx(3.0 / 4.0)
    assert BREAK_EVEN.gain(500) == BREAK_EVEN.gain(64)


def test_the_verdict_says_why() -> None:
    assert BREAK_EVEN.verdict(1) == (
        "1 request: a tree step costs 1.50 plain steps and yields 3.00 tokens each: speculation is on (gain 2.00)"
    )
    assert "64 requests" in BREAK_EVEN.verdict(64) and "speculation is off" in BREAK_EVEN.verdict(
        64
    )


def test_a_cpu_gets_the_likeliest_few_nodes(tmp_path: Path) -> None:
    tree = choose_tree(random_chances(random.Random(1)), 16)
    write_tree(tree, tmp_path)
    assert tree_for("cuda", tmp_path) == tree
    assert tree_for("cpu", tmp_path) == tree.pruned(CPU_NODES)
