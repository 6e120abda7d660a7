"""Choosing tokens: the same whatever the batch, distributed as asked."""

from __future__ import annotations

from collections import Counter

import pytest
import torch

from reference_engine.sampler import (
    GREEDY,
    Draw,
    Sampling,
    argmax,
    choose,
    draw_tokens,
    request_seed,
    uniform,
)

LOGITS = torch.tensor([2.0, 1.0, 0.0, -1.0])


def drawn(rule: Sampling, count: int = 4000, logits: torch.Tensor = LOGITS) -> Counter[int]:
    """Tokens of `count` positions of one request."""
    draws = [Draw(position, rule, uniform(7, position)) for position in range(count)]
    return Counter(draw_tokens(logits.expand(count, -1), draws))


def test_draws_follow_the_softmax_at_the_temperature() -> None:
    for temperature in (0.5, 1.0, 2.0):
        counts = drawn(Sampling(temperature=temperature))
        for token, probability in enumerate((LOGITS / temperature).softmax(-1).tolist()):
            assert (
                abs(counts[token] / 4000 - probability)
                < 4 * (probability * (1 - probability) / 4000) ** 0.5
            )


def test_top_k_keeps_the_likeliest_only() -> None:
    assert set(drawn(Sampling(temperature=3.0, top_k=2))) == {0, 1}
    assert set(drawn(Sampling(temperature=3.0, top_k=1))) == {0}


def test_top_p_keeps_the_fewest_that_reach_p() -> None:
    first = float(LOGITS.softmax(-1)[0])
    assert set(drawn(Sampling(temperature=1.0, top_p=first - 0.01))) == {0}
    assert set(drawn(Sampling(temperature=1.0, top_p=first + 0.01))) == {0, 1}
    assert set(drawn(Sampling(temperature=1.0, top_p=1.0))) == {0, 1, 2, 3}


def test_top_p_counts_within_top_k() -> None:
    within = float(LOGITS[:2].softmax(-1)[0])
    assert set(drawn(Sampling(temperature=1.0, top_k=2, top_p=within - 0.01))) == {0}
    assert set(drawn(Sampling(temperature=1.0, top_k=2, top_p=within + 0.01))) == {0, 1}


def test_a_row_is_drawn_alike_alone_and_in_any_company() -> None:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(6, 50, generator=generator)
    rules = [Sampling(temperature=0.3 + row, top_k=row * 7, top_p=1 - row / 10) for row in range(6)]
    draws = [Draw(row, rule, uniform(row, 3)) for row, rule in enumerate(rules)]
    together = choose(logits, draws)
    alone = [
        choose(logits[row : row + 1], [Draw(0, rules[row], uniform(row, 3))])[0] for row in range(6)
    ]
    assert together == alone
    assert (
        choose(logits.flip(0), [Draw(5 - draw.row, draw.rule, draw.number) for draw in draws])
        == together[::-1]
    )


def test_rows_without_a_draw_are_greedy_and_ties_go_to_the_lowest() -> None:
    logits = torch.tensor([[0.0, 5.0, 5.0], [1.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    assert argmax(logits) == [1, 0, 2]
    assert choose(logits, [Draw(1, Sampling(temperature=1e-9), 0.5)]) == [1, 0, 2]


def test_the_ends_of_the_unit_interval_choose_the_first_and_the_last() -> None:
    rule, top = Sampling(temperature=1.0), 1 - 2.0**-53
    assert draw_tokens(LOGITS[None], [Draw(0, rule, 0.0)]) == [0]
    assert draw_tokens(LOGITS[None], [Draw(0, rule, top)]) == [3]
    assert draw_tokens(LOGITS[None], [Draw(0, Sampling(temperature=1.0, top_k=3), top)]) == [2]


def test_numbers_are_spread_and_differ_by_seed_and_position() -> None:
    numbers = [uniform(seed, position) for seed in range(40) for position in range(40)]
    assert len(set(numbers)) == 1600
    assert all(0 <= number < 1 for number in numbers)
    assert abs(sum(numbers) / 1600 - 0.5) < 0.03
    assert (
        len({request_seed(0, id) for id in range(100)} | {request_seed(1, id) for id in range(100)})
        == 200
    )


@pytest.mark.parametrize(
    "bad",
    [
        {"temperature": -1.0},
        {"temperature": float("nan")},
        {"top_k": -1},
        {"top_p": 0.0},
        {"top_p": 1.5},
    ],
)
def test_values_out_of_range_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must"):
        Sampling(**bad)


def test_greedy_is_the_default() -> None:
    assert GREEDY.greedy
    assert Sampling(temperature=2.0, top_k=1).greedy
    assert not Sampling(temperature=0.1).greedy
