"""Exercise 4: every wrong part dies by the law it names, every right part passes, whatever its
insides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_worker import LocalWorker
from wrong_parts import numbers, right_parts, sampled, wrong_part, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Outcome

WRONG = wrong_parts(4)
RIGHT = [*right_parts(4), Path("solutions/ex4_medusa/medusa.py").resolve()]
UNIT = [law.number for law in catalogue(4).laws if law.kind == "unit"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    monkeypatch.setattr(random_cases, "SHRINKING", 0.3)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def judged(path: Path, seed: int, only: list[str] = UNIT) -> ExerciseResult:
    return grade(4, path, seed=seed, only=only)


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    result = judged(path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@pytest.mark.parametrize("part", sampled(WRONG), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, tmp_path: Path) -> None:
    laws = judged(part.write(tmp_path), seed=3, only=numbers(part)).laws
    law = next((law for law in laws if law.outcome.failed), laws[0])
    assert law.outcome is Outcome.FAIL, "it lives"
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
    assert tuple(broken[:1]) == (() if isinstance(part, Path) else part.laws)


def test_every_unit_law_is_needed() -> None:
    """Each law is named by a wrong part: a law that nothing breaks would prove nothing."""
    named = {name for part in WRONG for name in part.laws}
    assert named == {law.name for law in catalogue(4).laws if law.kind == "unit"}


def test_a_story_is_short(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(random_cases, "SHRINKING", 60.0)  # until it is done, on any machine
    result = judged(wrong_part(4, "argmax_at_the_node").write(tmp_path), seed=5, only=["4.7"])
    story = result.laws[0].story
    assert story is not None and len(story.steps) == 2
    choices = ast.literal_eval(story.steps[0].partition("build_tree(")[2].removesuffix(")"))
    assert len(choices) <= 3, choices


def test_the_points_of_all_laws_make_a_hundred() -> None:
    assert sum(law.points for law in catalogue(4).laws if law.kind != "throughput") == 100
