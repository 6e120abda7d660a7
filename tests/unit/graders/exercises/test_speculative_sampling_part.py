"""The solution of exercise 5 by itself: its examples, and what it is given at the edges."""

from __future__ import annotations

import doctest
import math

import pytest
import torch

from course.drawings import guess_chain
from solutions.ex5_speculative_sampling import speculative_sampling as part


def test_the_examples_in_the_docstrings_hold() -> None:
    assert doctest.testmod(part).failed == 0
    assert doctest.testmod(part).attempted >= 10


def test_nobody_to_accept_is_no_special_case() -> None:
    none = torch.zeros(0, 3, dtype=torch.long)
    accepted = part.accept_chain(
        none, torch.zeros(0, 3, 5), torch.zeros(0, 4, 5), torch.zeros(0, 3), torch.zeros(0)
    )
    which, said = part.accept_siblings(
        none, torch.zeros(0, 5), torch.zeros(0, 5), torch.zeros(0, 3), torch.zeros(0)
    )
    assert [tuple(each.shape) for each in (accepted.count, accepted.next, which, said)] == [
        (0,)
    ] * 4
    assert {each.dtype for each in (accepted.count, accepted.next, which, said)} == {torch.int64}
    assert part.probabilities(torch.zeros(0, 2, 5), temperature=0.7, top_k=2, top_p=0.5).shape == (
        0,
        2,
        5,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_results_have_the_dtype_of_the_logits_and_sum_to_one(dtype: torch.dtype) -> None:
    logits = torch.randn(4, 3, 50, generator=torch.Generator().manual_seed(1), dtype=dtype)
    for rule in (
        {"temperature": 0.0},
        {"temperature": 0.5, "top_k": 7},
        {"temperature": 2.0, "top_p": 0.3},
    ):
        p = part.probabilities(logits, **rule)  # type: ignore[arg-type]
        assert p.dtype is dtype
        torch.testing.assert_close(p.sum(-1), torch.ones(4, 3, dtype=dtype))


def test_a_uniform_next_to_one_draws_no_token_of_weight_zero() -> None:
    p = torch.tensor([[[0.5, 0.5, 0.0]]])
    accepted = part.accept_chain(
        torch.zeros(1, 0, dtype=torch.long),
        p[:, :0],
        p,
        torch.zeros(1, 0),
        torch.tensor([math.nextafter(1, 0)]),
    )
    assert accepted.next.tolist() == [1]


def test_what_is_drawn_shows_where_the_guess_fell_and_that_the_shares_are_those_of_p() -> None:
    chain = guess_chain.play(part)
    assert (chain.count, guess_chain.WORDS[chain.next]) == (3, "ten")
    assert chain.stood == pytest.approx(0.75, abs=0.01)
    assert chain.shares == pytest.approx(guess_chain.P[1], abs=0.01)
    lines = [line.plain for line in guess_chain.draw(chain)]
    assert "Said in one pass: the soup costs ten   3 stood" in lines
