"""What the cases of exercises 5 to 7 reach: sizes, values and edges that a wrong part may trip
over.

Nothing is played. A row of a table says what some case has to have; a generator that stops to reach
it fails here.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from graders.checking.random_cases import Case
from graders.exercises.ex5_speculative_sampling import edge_cases
from graders.exercises.ex5_speculative_sampling import random_cases as sampling_cases
from graders.exercises.ex5_speculative_sampling.specification import Rule, spread
from graders.exercises.ex6_draft_tree import fixed_cases as tree_stories
from graders.exercises.ex6_draft_tree import random_cases as tree_cases
from graders.exercises.ex6_draft_tree import specification as tree_spec
from graders.exercises.ex7_paged_attention import fixed_cases as kernel_stories
from graders.exercises.ex7_paged_attention import random_cases as kernel_cases
from graders.exercises.ex7_paged_attention.diagnostics import own_blocks

CASES = 40  # of a play, about as many as its law tries
Call = tuple[str, tuple[Any, ...], dict[str, Any]]  # method, arguments, keywords
Has = Callable[..., bool]


class Context:
    """As much of a check's context as a play looks at."""

    seed = run_seed = 5
    cases = 0


class Kept:
    """Stands in for a judge: calls are kept, and answered as is right where a story goes on with
    the answer."""

    made: list[Call] = []  # noqa: RUF012, emptied by the fixture

    def __init__(self, context: Any, dtype: str = "float32") -> None:
        self.dtype, self.scene = dtype, self

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*arguments: Any, **keywords: Any) -> Any:
            Kept.made.append((method, arguments, {"dtype": self.dtype, **keywords}))
            return (
                [tree_spec.grown(*each) for each in zip(*arguments[:4], strict=True)]
                if method == "grow"
                else None
            )

        return call


@pytest.fixture(autouse=True)
def made(monkeypatch: pytest.MonkeyPatch) -> list[Call]:
    """The calls that would have been judged."""
    for module in (edge_cases, sampling_cases):
        monkeypatch.setattr(module, "SamplingJudge", Kept)
    for module in (tree_stories, tree_cases):
        monkeypatch.setattr(module, "DraftTreeJudge", Kept)
    for module in (kernel_stories, kernel_cases):
        monkeypatch.setattr(module, "KernelJudge", Kept)
    Kept.made.clear()
    return Kept.made


def reached(made: list[Call], play: Any, has: Has) -> bool:
    """Whether a call of a play, or of stories that are told in every run, is of this kind."""
    if "case" in play.__annotations__:
        chance = random.Random(1)
        for _ in range(CASES):
            play(Context(), Case.draw(chance, 4))
    else:
        play(Context())
    return any(has(*arguments, **keywords) for _, arguments, keywords in made)


# ---------------------------------------------------------------- exercise 5


def rows(has: Callable[[Any], bool]) -> Has:
    return lambda some, *_, **__: any(map(has, some))


def rule(has: Callable[[Any, Sequence[Any]], bool]) -> Has:
    return lambda some, told, **__: bool(some) and has(told, some[0])


def sooner(told: Rule, row: Sequence[float]) -> bool:
    """Whether top_p cuts a token that top_k leaves, and that it would not cut of all."""
    alone = spread(row, Rule(told.temperature, 0, told.top_p)).p
    return any(
        told.top_k and x == 0 < y and z >= spread(row, told).least
        for x, y, z in zip(spread(row, told).p, alone, row, strict=True)
    )


def elsewhere(row: Any) -> bool:
    """Whether another token than the guess that fell is one that p has no more of than q."""
    fell = row.guesses[row.count]
    return any(
        0 < p <= q
        for token, (p, q) in enumerate(zip(fell.p, fell.q, strict=True))
        if token != fell.token
    )


SAMPLING: dict[str, tuple[Any, Has]] = {
    "temperature 0": (sampling_cases.temperature, rule(lambda told, _: told.temperature == 0)),
    "temperatures below a hundredth": (
        edge_cases.temperatures,
        rule(lambda told, _: 0 < told.temperature < 0.01),
    ),
    "temperatures above 4": (edge_cases.temperatures, rule(lambda told, _: told.temperature > 4)),
    "logits that overflow": (sampling_cases.temperature, rule(lambda _, row: max(row) > 500)),
    "top_k of more than 64": (edge_cases.top_ks, rule(lambda told, _: told.top_k > 64)),
    "top_k above the vocabulary": (
        sampling_cases.top_k,
        rule(lambda told, row: told.top_k > len(row)),
    ),
    "sets of more than a thousand": (
        edge_cases.top_ps,
        rule(lambda told, row: told.top_p * len(row) > 1024),
    ),
    "top_k and top_p at once": (
        sampling_cases.top_p,
        rule(lambda told, _: told.top_k > 0 and told.top_p < 1),
    ),
    "top_p reached by what top_k leaves alone": (
        edge_cases.top_ps,
        rule(lambda told, row: sooner(told, row)),
    ),
    "p has more elsewhere": (
        edge_cases.afters,
        rows(lambda row: row.count < len(row.guesses) and elsewhere(row)),
    ),
    "no guesses": (edge_cases.no_guesses, rows(lambda row: not row.guesses)),
    "forty guesses": (edge_cases.large_chains, rows(lambda row: len(row.guesses) >= 40)),
    "more than 128 rows": (edge_cases.large_chains, lambda some, **_: len(some) > 128),
    "tokens beyond 16 bits": (edge_cases.large_chains, rows(lambda row: len(row.last) > 1 << 16)),
    "q = 0": (edge_cases.dice, rows(lambda row: row.guesses[0].q[row.guesses[0].token] == 0)),
    "NaN behind what fell": (edge_cases.beyond, rows(lambda row: any(map(math.isnan, row.last)))),
    "a u of 0": (edge_cases.dice, rows(lambda row: row.guesses[0].u == 0)),
    "a dozen candidates": (edge_cases.turns, rows(lambda row: len(row.tokens) >= 12)),
    "a third candidate's turn": (sampling_cases.siblings, rows(lambda row: len(row.turns) > 2)),
    "nothing is left of p": (
        edge_cases.left_over,
        rows(lambda row: row.which < 0 and row.weights == list(row.p)),
    ),
    "nobody": (sampling_cases.batch, lambda some, *_, **__: not some),
}


@pytest.mark.parametrize("name", SAMPLING)
def test_what_cases_of_exercise_5_reach(name: str, made: list[Call]) -> None:
    assert reached(made, *SAMPLING[name])


# ---------------------------------------------------------------- exercise 6


def aunts(row: tree_spec.RowGrowth) -> bool:
    """Whether a candidate is as sure as a deeper one that was created before."""
    return any(
        a.value == b.value and a.depth > b.depth for at, b in enumerate(row) for a in row[:at]
    )


TREES: dict[str, tuple[Any, Has]] = {
    "parents beyond a byte": (
        tree_stories.large_growths,
        lambda rows, chosen, *_, **__: max(chosen[0]) > 255,
    ),
    "tokens beyond 16 bits": (
        tree_stories.large_growths,
        lambda rows, *_, **__: any(c.token > 1 << 16 for c in rows[0]),
    ),
    "paths of thirty": (
        tree_stories.fine_values,
        lambda rows, *_, **__: len(rows[0]) > 50 and rows[0][-1].depth > 25,
    ),
    "what is impossible": (
        tree_cases.values,
        lambda rows, *_, **__: any(c.value == -math.inf for c in rows[0]),
    ),
    "the root": (tree_stories.large_growths, lambda rows, *_, **__: not rows[0]),
    "an aunt as sure as her niece": (
        tree_stories.hard_trees,
        lambda rows, *_, **__: aunts(rows[0]),
    ),
    "a depth beyond sixteen": (
        tree_stories.hard_frontiers,
        lambda rows, depth, *_, **__: depth > 16,
    ),
    "equals by the hundred": (
        tree_stories.hard_frontiers,
        lambda rows, *_, **__: len({c.value for c in rows[0]}) * 100 <= len(rows[0]),
    ),
    "values that float32 cannot tell apart": (
        tree_stories.hard_frontiers,
        lambda *_, dtype, **__: dtype == "float64",
    ),
    "a parent beyond node 255": (
        tree_stories.hard_trees,
        lambda rows, roots, size, *_, **__: any(c.parent > 255 for c in rows[0]) and size > 256,
    ),
    "the root alone": (tree_stories.hard_masks, lambda rows, roots, size, *_, **__: size == 1),
    "more than 128 rows": (tree_stories.large_batches, lambda rows, *_, **__: len(rows) > 128),
    "nobody": (tree_stories.large_batches, lambda rows, *_, **__: not rows),
}


@pytest.mark.parametrize("name", TREES)
def test_what_cases_of_exercise_6_reach(name: str, made: list[Call]) -> None:
    assert reached(made, *TREES[name])


# ---------------------------------------------------------------- exercise 7

KERNELS: dict[str, tuple[Any, Has]] = {
    "D of 128": (kernel_stories.widths, lambda call, **_: call.width == 128),
    "a D that is no power of two": (kernel_cases.alone, lambda call, **_: call.width == 40),
    "blocks of one": (kernel_cases.paged, lambda call, **_: call.block_size == 1),
    "blocks of 64": (kernel_stories.pages, lambda call, **_: call.block_size == 64),
    "more than 512 positions": (kernel_stories.pages, lambda call, **_: max(call.lengths) > 512),
    "block 0": (kernel_stories.pages, lambda call, **_: 0 in own_blocks(call, 0)),
    "more than four KV heads": (kernel_stories.groups, lambda call, **_: call.kv_heads > 4),
    "groups of eight": (kernel_stories.groups, lambda call, **_: call.group == 8),
    "groups of three": (kernel_cases.grouped, lambda call, **_: call.group == 3),
    "more than sixteen requests": (
        kernel_stories.emptiest,
        lambda call, **_: len(call.lengths) > 16,
    ),
    "nobody": (kernel_stories.emptiest, lambda call, **_: not call.lengths),
    "entries that are no blocks": (kernel_cases.ragged, lambda call, **_: call.wild),
    "more parts than positions": (
        kernel_cases.parts,
        lambda call, **_: call.split > max(call.lengths),
    ),
    "scores of ten thousand": (
        kernel_stories.steepest,
        lambda call, **_: max(map(abs, call.scores(0, 0, 0))) > 10_000,
    ),
    "bf16": (kernel_cases.steep, lambda call, **_: call.dtype == "bfloat16"),
}


@pytest.mark.parametrize("name", KERNELS)
def test_what_cases_of_exercise_7_reach(name: str, made: list[Call]) -> None:
    assert reached(made, *KERNELS[name])
