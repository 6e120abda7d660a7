"""What a learner of exercise 3 or 4 reads: true, about the part that is wrong, and no longer than
it has to be."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import CLONE, first_broken, wrong_part

import graders.checking.random_cases
import graders.checking.workers
from graders import grade
from graders.exercises.ex3_prefix_cache.operations import PrefixCacheScript
from graders.exercises.ex3_prefix_cache.specification import PrefixCacheSpec, ReleasedLast
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome, Reason

SOLUTION = CLONE / "solutions" / catalogue(3).slug / catalogue(3).file_name


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.2)


def told(folder: Path, edit: tuple[str, str], law: str) -> LawResult:
    """What is said of the solution of exercise 3 with one edit."""
    text = SOLUTION.read_text(encoding="utf-8")
    assert text.count(edit[0]) == 1
    path = folder / "prefix_cache.py"
    path.write_text(text.replace(*edit), encoding="utf-8")
    broken = first_broken(path, 3, only=[law])
    assert broken is not None
    return broken


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            ("Match(len(walk.blocks) * self._block_size,", "Match(len(walk.blocks) / 1,"),
            "`match` returned a length of 0.0",
        ),
        (
            ("return Inserted(held * self._block_size,", "return Inserted(held / 1,"),
            "`insert` returned reused=0.0",
        ),
        (
            ("return len(self._stored) - self._pinned", "return len(self._stored) / 1"),
            "`evictable` is 0.0",
        ),
    ],
)
def test_a_number_of_another_type_is_told_as_that(
    edit: tuple[str, str], message: str, tmp_path: Path
) -> None:
    assert told(tmp_path, edit, "3.1").message == f"{message}; an int is due."


def test_one_token_is_no_tokens() -> None:
    (why,) = PrefixCacheSpec(1).refuse_insert([1], [], None).values()
    assert why == "1 token for 1 block, and blocks given: 0"


@pytest.mark.parametrize(
    ("name", "law", "says"),
    [
        (
            "partial_edge_matched_whole",
            "3.1",
            r"\] is stored after them, \[\d.*\] is asked for|there are no more",
        ),
        (
            "hash_only",
            "3.8",
            r"\] is stored (after them|as the first block), \[.*\] is asked for|held already",
        ),
        (
            "first_tokens_of_a_block",
            "3.2",
            r"\d+ is token \d+ of the block stored as the first block, 1 is asked for",
        ),
        ("names_as_text", "3.7", r"is stored for namespace .*, not for|held already"),
    ],
)
def test_a_match_that_is_too_long_says_what_is_stored_and_what_was_asked(
    name: str, law: str, says: str, tmp_path: Path
) -> None:
    broken = first_broken(wrong_part(3, name).write(tmp_path), 3, only=[law], seed=2)
    assert broken is not None
    assert re.search(says, broken.message)


def test_a_recursion_is_told_by_the_method_that_was_called(tmp_path: Path) -> None:
    broken = first_broken(wrong_part(3, "lock_recurses").write(tmp_path), 3, only=["3.9"])
    assert broken is not None and broken.story is not None
    assert broken.message.startswith("`lock` raised RecursionError")
    assert "A loop has no limit" in broken.message
    assert broken.story.location.function == "lock"
    assert " in lock" in broken.story.traceback[0]


def test_a_part_beside_that_is_not_written_is_blamed_and_not_the_one_that_is_judged() -> None:
    """`check 3.11 --with mine` named `__init__` of prefix_cache.py; it was that of exercise 1's
    stub."""
    (law,) = grade(3, SOLUTION, seed=1, only=["3.11"], others=str(CLONE / "exercises")).laws
    assert (law.outcome, law.reason) == (Outcome.FAIL, Reason.UNWRITTEN)
    assert law.message.endswith("one of the parts beside prefix_cache.py, is not written yet.")
    assert law.story is not None
    assert law.story.location.file != "prefix_cache.py"


def test_a_story_of_nodes_shows_no_mask_and_is_the_shortest(tmp_path: Path) -> None:
    broken = first_broken(
        wrong_part(4, "depth_first_order").write(tmp_path), 4, only=["4.1"], seed=3
    )
    assert broken is not None and broken.story is not None
    (step,) = broken.story.steps
    assert "mask" not in step
    assert step.startswith(
        ("medusa.build_tree([(0, 0), (1,)])", "medusa.build_tree([(1,), (0, 0)])")
    )


def test_another_number_of_nodes_is_told_by_parents_alone(tmp_path: Path) -> None:
    broken = first_broken(
        wrong_part(4, "missing_prefixes").write(tmp_path), 4, only=["4.1"], seed=3
    )
    assert broken is not None and broken.story is not None
    assert "nodes with node 0 and every prefix" in broken.message
    assert all("mask" not in step and "rank" not in step for step in broken.story.steps)


def test_a_softmax_over_the_wrong_dimension_is_told_with_the_p_that_came_of_it(
    tmp_path: Path,
) -> None:
    broken = first_broken(
        wrong_part(4, "softmax_over_the_nodes").write(tmp_path), 4, only=["4.8"], seed=3
    )
    assert broken is not None
    due, _, own = broken.message.partition("Your answer is what comes out of ")
    assert own.startswith("a softmax over the nodes, where it is due over the vocabulary (p = ")
    assert "node 1: p = " in due
    assert own.split("p = ")[1].split(" ")[0] != due.split("node 1: p = ")[1].split(" ")[0]


def test_one_guess_is_no_guesses(tmp_path: Path) -> None:
    broken = first_broken(
        wrong_part(4, "compared_as_halves").write(tmp_path), 4, only=["4.7"], seed=3
    )
    assert broken is not None
    assert "but 1 guess is on the path" in broken.message


@pytest.mark.parametrize(
    ("exercise", "name", "law", "says"),
    [
        (3, "whole_edges_evicted", "3.4", "This is how SGLang does it, which frees a leaf"),
        (3, "unlock_touches", "3.6", "This is how vLLM does it, whose blocks queue up"),
        (3, "twice_in_one_insert", "3.3", "This is how SGLang does it, whose insert trusts"),
        (
            3,
            "unlock_of_the_unlocked_is_silent",
            "3.6",
            "This is how SGLang does it, which counts a lock down",
        ),
        (
            3,
            "hash_only",
            "3.8",
            "This is how vLLM does it, which knows a block by its hash|held already",
        ),
        (4, "verdict_of_32_bits", "4.7", "This is how SGLang and TensorRT-LLM do it"),
        (4, "moves_onto_itself", "4.10", "This is how Medusa does it"),
    ],
)
def test_what_another_engine_does_by_rule_is_told_as_that(
    exercise: int, name: str, law: str, says: str, tmp_path: Path
) -> None:
    broken = first_broken(wrong_part(exercise, name).write(tmp_path), exercise, only=[law], seed=2)
    assert broken is not None
    assert re.search(says, broken.message)
    assert "here the contract asks" in broken.message or "held already" in broken.message


def test_a_deviation_that_no_engine_has_is_not_excused(tmp_path: Path) -> None:
    broken = first_broken(wrong_part(3, "newest_evicted").write(tmp_path), 3, only=["3.4"], seed=2)
    assert broken is not None
    assert "This is how" not in broken.message


def test_what_another_policy_would_have_evicted_is_known_beside_another_cache() -> None:
    script = PrefixCacheScript(1)
    script.insert([1])
    first = script.insert([2])
    script.lock(first)
    script.beside([3], [7])
    script.insert([3])
    script.unlock(first)
    script.evict(2)
    assert script.evicted_by(PrefixCacheSpec, len(script.moves)) == [1, 2]
    assert script.evicted_by(ReleasedLast, len(script.moves)) == [1, 3]
