"""Exercise 4: every wrong part dies by the law it names, every right part passes, whatever its insides."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_worker import LocalWorker

from graders import exploring, grade
from graders.catalogue import catalogue
from graders.result import ExerciseResult, Outcome

PARTS = Path(__file__).parent / "parts"
WRONG = sorted((PARTS / "wrong" / "ex4").glob("*.py"))
RIGHT = [*sorted((PARTS / "right" / "ex4").glob("*.py")), Path("solutions/ex4_medusa/medusa.py").resolve()]
NUMBERS = {law.name: law.number for law in catalogue(4).laws}
UNIT = [law.number for law in catalogue(4).laws if law.kind == "unit"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("graders.workers.Worker", LocalWorker)
    monkeypatch.setattr(exploring, "SHRINKING", 0.3)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def law_named_by(path: Path) -> str:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    found = re.search(r"^Law: (.+)\.$", text, re.MULTILINE)
    assert found, f"{path.name} names no law"
    return found.group(1)


def judged(path: Path, seed: int, only: list[str] = UNIT) -> ExerciseResult:
    return grade(4, path, seed=seed, only=only)


@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    result = judged(path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_part_dies_by_the_law_it_names(path: Path) -> None:
    (law,) = judged(path, seed=3, only=[NUMBERS[law_named_by(path)]]).laws
    assert law.outcome is Outcome.FAIL, "it lives"
    assert law.message and law.story and law.story.steps


@pytest.mark.slow
@pytest.mark.parametrize("path", [*WRONG, *RIGHT], ids=lambda path: path.stem)
@pytest.mark.parametrize("seed", range(4, 9))
def test_no_other_law_is_broken_first(path: Path, seed: int) -> None:
    broken = [law.name for law in judged(path, seed).laws if law.outcome.failed]
    assert broken[:1] == ([law_named_by(path)] if path in WRONG else [])


def test_every_unit_law_is_needed() -> None:
    """Each law is named by a wrong part: a law that nothing breaks would prove nothing."""
    named = {law_named_by(path) for path in WRONG}
    assert named == {law.name for law in catalogue(4).laws if law.kind == "unit"}


def test_a_story_is_short() -> None:
    result = judged(PARTS / "wrong" / "ex4" / "argmax_at_the_node.py", seed=5, only=["4.7"])
    story = result.laws[0].story
    assert story is not None and len(story.steps) == 2
    choices = ast.literal_eval(story.steps[0].partition("build_tree(")[2].removesuffix(")"))
    assert len(choices) <= 3


def test_the_points_of_all_laws_make_a_hundred() -> None:
    assert sum(law.points for law in catalogue(4).laws if law.kind != "throughput") == 100
