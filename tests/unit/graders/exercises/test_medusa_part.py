"""The solution of exercise 4 by itself: its examples, and what it is given at the edges."""

from __future__ import annotations

import doctest
import math

import pytest
import torch
from torch import Tensor

from reference_engine.slots import Verdict
from solutions.ex4_medusa import medusa

TREE = medusa.build_tree([(0,), (1,), (0, 0)])


def verdict(count: list[int], nodes: list[list[int]], following: list[int]) -> Verdict:
    return Verdict(torch.tensor(count), torch.tensor(nodes), torch.tensor(following))


def typical(tokens: Tensor, logits: Tensor, **rule: float) -> Verdict:
    return medusa.verify_typical(
        TREE, tokens, logits, **({"temperature": 1.0, "epsilon": 0.3, "delta": 0.3} | rule)
    )


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(medusa).failed == 0
    assert doctest.testmod(medusa).attempted >= 15


@pytest.mark.parametrize(
    "choices", [[], [()], [(0,), ()], [(-1,)], [(0, -2)], [("a",)], [(0.5,)], [None]]
)
def test_what_is_no_choice_is_refused(choices: list[object]) -> None:
    with pytest.raises(ValueError):
        medusa.build_tree(choices)  # type: ignore[arg-type]


def test_a_choice_that_contains_itself_is_refused() -> None:
    cyclic: list[object] = [0]
    cyclic.append(cyclic)
    with pytest.raises(ValueError):
        medusa.build_tree([cyclic])  # type: ignore[list-item]


@pytest.mark.parametrize("shape", [(1, 1, 5), (1, 2, 1), (0, 1, 5), (3, 0, 0)])
def test_guesses_that_the_heads_do_not_give_are_refused(shape: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError):
        medusa.propose(
            TREE, torch.zeros(shape[0], dtype=torch.long), torch.zeros(shape, dtype=torch.long)
        )


def test_nobody_to_verify_is_no_special_case() -> None:
    none = torch.zeros(0, 4, dtype=torch.long)
    assert medusa.propose(TREE, none[:, 0], torch.zeros(0, 2, 2, dtype=torch.long)).shape == (0, 4)
    for judged in (medusa.verify_greedy(TREE, none, none), typical(none, torch.zeros(0, 4, 2))):
        assert [judged.count.shape, judged.nodes.shape, judged.next.shape] == [(0,), (0, 3), (0,)]
        assert [len(end) for end in medusa.compact(judged, none)] == [0, 0]
    drawn = medusa.verify_typical(
        TREE,
        none,
        torch.zeros(0, 4, 2),
        temperature=1.0,
        epsilon=0.1,
        delta=0.1,
        generator=torch.Generator(),
    )
    assert drawn.next.shape == (0,)


@pytest.mark.parametrize("rule", [{"temperature": -1.0}, {"epsilon": -0.1}, {"delta": math.nan}])
def test_impossible_rules_are_refused(rule: dict[str, float]) -> None:
    with pytest.raises(ValueError):
        typical(torch.zeros(1, 4, dtype=torch.long), torch.zeros(1, 4, 2), **rule)


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_nan_at_the_end_of_the_path_is_an_error_and_elsewhere_none(temperature: float) -> None:
    tokens, logits = torch.tensor([[0, 1, 2, 1]]), torch.zeros(1, 4, 3)
    logits[0, 0] = torch.tensor([0.0, 0.0, 5.0])  # the model says 2: node 2, a leaf
    logits[0, 1] = logits[0, 3] = math.nan
    judged = typical(tokens, logits, temperature=temperature)
    assert judged.nodes.tolist() == [[0, 2, -1]]
    logits[0, 2, 1] = math.nan
    with pytest.raises(ValueError, match="NaN"):
        typical(tokens, logits, temperature=temperature)


def test_a_vocabulary_of_two() -> None:
    tokens, argmax = torch.tensor([[0, 0, 1, 0]]), torch.tensor([[0, 0, 1, 1]])
    judged = medusa.verify_greedy(TREE, tokens, argmax)
    assert (judged.nodes.tolist(), judged.next.tolist()) == ([[0, 1, 3]], [1])


def test_moves_that_cross_are_right_when_executed_at_once() -> None:
    slots = torch.tensor([[7, 3, 9, 1, 5, 8]])
    src, dst = medusa.compact(verdict([3], [[0, 2, 3, 5]], [0]), slots)
    kv = torch.arange(10) * 10
    kv[dst] = kv[src]
    assert kv[slots[0, :4]].tolist() == [70, 90, 10, 80]


def test_nothing_given_is_changed() -> None:
    given = verdict([1], [[0, 2, -1]], [4])
    slots = torch.tensor([[4, 5, 6, 7]])
    medusa.compact(given, slots)
    assert given.nodes.tolist() == [[0, 2, -1]]
    assert slots.tolist() == [[4, 5, 6, 7]]


def test_a_batch_gets_what_its_rows_get_alone() -> None:
    torch.manual_seed(0)
    tokens, logits = torch.randint(0, 4, (16, 4)), torch.randn(16, 4, 4)
    together = typical(tokens, logits)
    for row in range(16):
        alone = typical(tokens[row : row + 1], logits[row : row + 1])
        assert together.nodes[row].tolist() == alone.nodes[0].tolist()
        assert together.next[row] == alone.next[0]
