"""Exercise 6: every wrong part dies by the law it names, every right part passes, whatever its
insides."""

from __future__ import annotations

import doctest
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_worker import LocalWorker
from wrong_parts import CLONE, numbers, right_parts, sampled, some, wrong_part, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Outcome
from reference_engine.slots import Growth
from solutions.ex6_draft_tree import draft_tree

WRONG = wrong_parts(6)
RIGHT = [*right_parts(6), CLONE / "solutions" / "ex6_draft_tree" / "draft_tree.py"]
UNIT = [law.number for law in catalogue(6).laws if law.kind == "unit"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    monkeypatch.setattr(random_cases, "SHRINKING", 0.3)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def judged(path: Path, seed: int, only: list[str] = UNIT) -> ExerciseResult:
    return grade(6, path, seed=seed, only=only)


@pytest.mark.parametrize("path", some(RIGHT, 1), ids=lambda path: path.stem)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    result = judged(path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@pytest.mark.parametrize("part", sampled(WRONG, 2), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, tmp_path: Path) -> None:
    laws = judged(part.write(tmp_path), seed=3, only=numbers(part)).laws
    law = next((law for law in laws if law.outcome is Outcome.FAIL), None)
    assert law is not None, "it lives"
    assert law.message and law.story and law.story.steps
    assert re.search(part.says, law.message)


@pytest.mark.slow
@pytest.mark.parametrize(
    "part", [*WRONG, *RIGHT], ids=lambda part: part.stem if isinstance(part, Path) else str(part)
)
@pytest.mark.parametrize("seed", range(4, 9))
def test_no_other_law_is_broken_first(part: Mutant | Path, seed: int, tmp_path: Path) -> None:
    path = part if isinstance(part, Path) else part.write(tmp_path)
    broken = [law.name for law in judged(path, seed).laws if law.outcome.failed]
    assert bool(broken) == isinstance(part, Mutant)
    assert isinstance(part, Path) or broken[0] in part.laws


def test_every_unit_law_is_needed() -> None:
    """Each law is named by a wrong part: a law that nothing breaks would prove nothing."""
    named = {name for part in WRONG for name in part.laws}
    assert named == {law.name for law in catalogue(6).laws if law.kind == "unit"}
    assert len(WRONG) >= 40


@pytest.mark.parametrize(
    "seed", [1, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(2, 6))]
)
def test_right_text_in_too_many_passes_breaks_the_last_law(seed: int, tmp_path: Path) -> None:
    """What is certain is kept; of the rest, generation by generation, the least likely: the text is
    right."""
    surest, rest = "(-value[index], index)", "(value[index] < 0, depth[index], value[index])"
    source = next(path for path in right_parts(6) if path.stem == "plain_loops").read_text()
    assert source.count(surest) == 1
    part = tmp_path / "draft_tree.py"
    part.write_text(source.replace(surest, rest))
    (law,) = judged(part, seed, only=["6.11"]).laws
    assert law.outcome is Outcome.FAIL
    assert re.search(
        r"Your trees of \d+ nodes yield [12]\.\d+ tokens a pass, a static tree", law.message
    )


def test_the_points_of_all_laws_make_a_hundred() -> None:
    assert catalogue(6).points == 100


def test_a_story_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_cases, "SHRINKING", 60.0)  # until it is done, on any machine
    (law,) = judged(wrong_part(6, "lowest_kept").write(tmp_path), seed=5, only=["6.4"]).laws
    assert law.story is not None and len(law.story.steps) == 2
    assert len(law.story.steps[0]) < 160, law.story.steps
    assert re.search(r"`rerank` keeps candidate \d .*, and lets go candidate \d", law.message)


def test_the_examples_in_the_docstrings_hold() -> None:
    found = doctest.testmod(draft_tree)
    assert (found.failed, found.attempted >= 9) == (0, True)


def test_what_is_given_is_left_as_it_was_and_grad_is_no_matter() -> None:
    value = torch.tensor([[-1.0, -0.5]], requires_grad=True)
    growth = Growth(torch.tensor([[3, 4]]), torch.tensor([[-1, -1]]), torch.tensor([[1, 1]]), value)
    assert draft_tree.rerank(growth, torch.tensor([9]), 2).token.tolist() == [[9, 4]]
    assert value.tolist() == [[-1.0, -0.5]]
