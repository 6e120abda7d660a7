"""What the cases of exercises 3 and 4 reach: sizes, values and kinds that a wrong part may trip
over.

Nothing is played. A row of a table says what some case has to have; a generator that stops to reach
it fails here.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import pytest

from graders.checking import wire_tensors
from graders.checking.random_cases import Case
from graders.exercises.ex3_prefix_cache import fixed_cases
from graders.exercises.ex3_prefix_cache import random_cases as cache_cases
from graders.exercises.ex3_prefix_cache.operations import FORMS, PrefixCacheCall, PrefixCacheScript
from graders.exercises.ex4_medusa import edge_cases
from graders.exercises.ex4_medusa import random_cases as medusa_cases
from graders.exercises.ex4_medusa.specification import PathTree

CASES = 50  # of a play, about as many as its law tries
Has = Callable[[Any], bool]


class Context:
    """As much of a check's context as a play looks at."""

    seed = run_seed = 5
    cases = 0


def draw(play: Callable[[Any, Case], None], moves: int = 12) -> None:
    chance = random.Random(1)
    for _ in range(CASES):
        play(Context(), Case.draw(chance, moves))


# ---------------------------------------------------------------- exercise 3


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> list[PrefixCacheScript]:
    """Those that would have been played."""
    kept: list[PrefixCacheScript] = []

    class Kept:
        def __init__(self, context: Any, script: PrefixCacheScript) -> None:
            kept.append(script)

        def judge(self) -> None: ...

    monkeypatch.setattr(cache_cases, "PrefixCacheJudge", Kept)
    monkeypatch.setattr(fixed_cases, "PrefixCacheJudge", Kept)
    return kept


def calls(scripts: Iterable[PrefixCacheScript]) -> list[PrefixCacheCall]:
    return [move for script in scripts for move in script.moves]


CACHE_PLAYS = [
    cache_cases.longest_prefix,
    cache_cases.whole_blocks,
    cache_cases.duplicates,
    cache_cases.evicting,
    cache_cases.recency,
    cache_cases.locks,
    cache_cases.namespaces,
    cache_cases.everything,
]


@pytest.mark.parametrize("play", CACHE_PLAYS, ids=lambda play: play.__name__)
def test_any_play_has_large_numbers_and_every_form_of_sequence(
    play: Any, scripts: list[PrefixCacheScript]
) -> None:
    draw(play)
    made = calls(scripts)
    assert any(token > 65_535 for move in made for token in move.tokens)
    assert any(block > 65_535 for move in made for block in move.blocks)
    assert any(255 < block < 1_000 for move in made for block in move.blocks)
    assert {move.form for move in made} == set(FORMS)


def refused_as(move: PrefixCacheCall) -> str:
    if not move.refused or move.method != "insert":
        return ""
    if len(set(move.blocks)) < len(move.blocks):
        return "twice"
    return "stored" if any(later > move.blocks[-1] for later in move.blocks) else "few or stored"


@pytest.mark.parametrize(
    ("play", "has"),
    [
        (cache_cases.duplicates, lambda move: refused_as(move) == "twice"),
        (cache_cases.duplicates, lambda move: refused_as(move) == "stored"),
        (cache_cases.duplicates, lambda move: refused_as(move) == "few or stored"),
        (cache_cases.recency, lambda move: refused_as(move) != ""),
        (
            cache_cases.everything,
            lambda move: move.refused and move.method == "insert" and move.namespace is not None,
        ),
        (cache_cases.everything, lambda move: move.refused and move.method == "unlock"),
        (cache_cases.evicting, lambda move: move.method == "evict" and move.number == 0),
        (cache_cases.whole_blocks, lambda move: len(move.tokens) > 32),
    ],
)
def test_a_play_has_calls_of_its_kind(
    play: Any, has: Has, scripts: list[PrefixCacheScript]
) -> None:
    draw(play, 16)
    assert any(map(has, calls(scripts)))


def test_every_kind_of_namespace_is_drawn_and_no_two_are_equal(
    scripts: list[PrefixCacheScript],
) -> None:
    draw(cache_cases.namespaces)
    drawn = {repr(move.namespace) for move in calls(scripts)}
    assert drawn >= {repr(name) for name in cache_cases.NAMES}
    assert len(set(cache_cases.NAMES)) == len(cache_cases.NAMES)
    assert hash(-1) == hash(-2) and {-1, -2} < set(cache_cases.NAMES)


def test_locks_are_taken_in_namespaces_and_more_than_once(scripts: list[PrefixCacheScript]) -> None:
    draw(cache_cases.everything, 16)
    named = [
        script
        for script in scripts
        for move in script.moves
        if move.method == "lock" and script.moves[move.handle].namespace is not None
    ]
    assert named
    draw(cache_cases.locks, 14)
    assert any(times > 1 for script in scripts for times in script.spec.locks.values())


@pytest.mark.parametrize(
    ("stories", "has"),
    [
        (fixed_cases.texts, lambda script: max(len(move.tokens) for move in script.moves) >= 300),
        (fixed_cases.texts, lambda script: any(128_255 in move.tokens for move in script.moves)),
        (fixed_cases.block_sizes, lambda script: script.spec.block_size == 1024),
        (
            fixed_cases.locking,
            lambda script: [move.method for move in script.moves].count("lock") >= 300,
        ),
        (fixed_cases.refused_inserts, lambda script: any(move.refused for move in script.moves)),
        (
            fixed_cases.names,
            lambda script: (
                len({repr(move.namespace) for move in script.moves}) >= len(cache_cases.NAMES)
            ),
        ),
    ],
)
def test_a_fixed_story_goes_where_chance_does_not(
    stories: Callable[[Any], None], has: Has, scripts: list[PrefixCacheScript]
) -> None:
    stories(Context())
    assert any(map(has, scripts))


def test_the_long_run_is_long(scripts: list[PrefixCacheScript]) -> None:
    cache_cases.long_run(Context())  # type: ignore[arg-type]
    (script,) = scripts
    assert script.spec.clock > 1_024 + 100  # a clock of ten bits goes round
    assert script._next - script._first > 500  # blocks that came, and most of them went
    assert len(script.spec.stored) < 60  # or every call would cost more and more


# ---------------------------------------------------------------- exercise 4


@pytest.fixture
def questions(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, PathTree, tuple[Any, ...]]]:
    """(method, tree, what else it was given) of each call that would have been made."""
    kept: list[tuple[str, PathTree, tuple[Any, ...]]] = []

    class Kept:
        def __init__(self, context: Any, *, views: bool = False) -> None:
            self.scene = self

        def build_tree(self, choices: Any, names: Any = ()) -> list[wire_tensors.Array]:
            kept.append(("build_tree", PathTree.of(choices), (choices,)))
            return []

        def judge_tree(self, *_: Any) -> None: ...

        def __getattr__(self, name: str) -> Callable[..., None]:
            return lambda tree, *args: kept.append((name, tree, args))

    monkeypatch.setattr(medusa_cases, "MedusaJudge", Kept)
    monkeypatch.setattr(edge_cases, "MedusaJudge", Kept)
    return kept


def flat(values: Any) -> list[Any]:
    return (
        [item for value in values for item in flat(value)]
        if isinstance(values, Sequence)
        else [values]
    )


@pytest.mark.parametrize(
    ("play", "has"),
    [
        (medusa_cases.structure, lambda tree, args: max(tree.rank) > 9),
        (medusa_cases.structure, lambda tree, args: tree.height > 5),
        (medusa_cases.sight, lambda tree, args: tree.height > 5),
        (medusa_cases.candidates, lambda tree, args: max(tree.rank) == len(args[1][0][0]) - 1),
        (medusa_cases.candidates, lambda tree, args: max(tree.rank) > 7),
        (medusa_cases.candidates, lambda tree, args: tree.height > 5),
        (medusa_cases.candidates, lambda tree, args: max(flat(args)) > 65_535),
        (medusa_cases.walk, lambda tree, args: tree.height > 5),
        (medusa_cases.walk, lambda tree, args: 0 in flat(args[1])),
        (medusa_cases.walk, lambda tree, args: max(flat(args)) > 65_535),
        (medusa_cases.plausible, lambda tree, args: tree.height > 5),
        (medusa_cases.wounded, lambda tree, args: args[2].temperature == 0),
        (medusa_cases.wounded, lambda tree, args: -float("inf") in flat(args[1])),
        (medusa_cases.moves, lambda tree, args: tree.height > 5),
        (medusa_cases.moves, lambda tree, args: max(flat(args[1])) > 65_535),
        (medusa_cases.batch, lambda tree, args: len(args[0]) == 0),
    ],
)
def test_a_play_draws_trees_and_numbers_of_its_kind(
    play: Any, has: Callable[[PathTree, Any], bool], questions: Any
) -> None:
    draw(play, 6)
    assert any(has(tree, args) for _, tree, args in questions)


@pytest.mark.parametrize(
    ("cases", "has"),
    [
        (edge_cases.large_trees, lambda tree, args: len(tree) > 256),
        (edge_cases.large_trees, lambda tree, args: tree.height == 12),
        (edge_cases.large_proposals, lambda tree, args: len(args[1][0][0]) > 128),
        (edge_cases.large_walks, lambda tree, args: max(flat(args)) > 1 << 24),
        (edge_cases.large_verdicts, lambda tree, args: len(tree) > 256),
        (edge_cases.large_moves, lambda tree, args: max(args[0][0].walk) > 256),
        (edge_cases.large_batches, lambda tree, args: len(args[0]) == 128),
        (edge_cases.named_trees, lambda tree, args: isinstance(args[0], tuple)),
    ],
)
def test_named_cases_are_as_large_as_engines_are(
    cases: Any, has: Callable[[PathTree, Any], bool], questions: Any
) -> None:
    cases(Context())
    assert any(has(tree, args) for _, tree, args in questions)


def test_the_smallest_trees_come_first() -> None:
    sizes = [sum(map(len, choices)) for choices in edge_cases.TREES[: len(edge_cases.PATHS)]]
    assert sizes == sorted(sizes)
    assert all(len(choices) == 1 for choices in edge_cases.TREES[: len(edge_cases.PATHS)])
    assert [(0, 0), (1,)] in edge_cases.TREES
