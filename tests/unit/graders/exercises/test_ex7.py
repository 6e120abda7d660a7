"""Exercise 7: every wrong part dies by the law it names, every right part passes, whatever its
insides."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from local_worker import LocalWorker
from wrong_parts import CLONE, numbers, right_parts, sampled, wrong_part, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.exercises.ex7_paged_attention.specification import Decode
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Outcome
from reference_engine.parts import load_part

WRONG = wrong_parts(7)
SOLUTION = CLONE / "solutions" / "ex7_paged_attention" / "paged_attention.py"
RIGHT = [*right_parts(7), SOLUTION]
UNIT = [law.number for law in catalogue(7).laws]
TRITON = importlib.util.find_spec("triton") is not None
needs_triton = pytest.mark.skipif(not TRITON, reason="triton is not installed")


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TRITON_INTERPRET", "1")
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    monkeypatch.setattr(random_cases, "SHRINKING", 0.0)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def judged(path: Path, seed: int, only: list[str] = UNIT) -> ExerciseResult:
    return grade(7, path, seed=seed, only=only)


@needs_triton
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, marks=() if path == SOLUTION else pytest.mark.slow, id=path.stem)
        for path in RIGHT
    ],
)
def test_a_right_part_passes_every_law(path: Path) -> None:
    result = judged(path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@needs_triton
@pytest.mark.parametrize("part", sampled(WRONG, 1), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, tmp_path: Path) -> None:
    laws = judged(part.write(tmp_path), seed=3, only=numbers(part)).laws
    law = next((law for law in laws if law.outcome.failed), laws[0])
    assert law.outcome is Outcome.FAIL, "it lives"
    assert law.message and law.story and law.story.steps
    assert re.search(part.says, law.message)


def test_every_law_is_needed() -> None:
    """Each law is named by a wrong part: a law that nothing breaks would prove nothing."""
    assert {name for part in WRONG for name in part.laws} == {law.name for law in catalogue(7).laws}
    assert len(WRONG) >= 40


def test_the_points_of_all_laws_make_a_hundred() -> None:
    assert catalogue(7).points == 100


@needs_triton
def test_a_stray_read_is_told_by_request_position_and_block(tmp_path: Path) -> None:
    part = wrong_part(7, "next_block_read")
    (law,) = judged(part.write(tmp_path), seed=1, only=["7.5"]).laws
    assert re.search(
        r"For request \d, whose length is \d+, position \d+, the (key|value) in slot \d of block \d",
        law.message,
    )


def test_numbers_of_a_call_are_exact_in_bf16() -> None:
    call = Decode((3, 0, 5), 4, 2, 2, magnitude=8.0)
    numbers = torch.tensor(call.query(2, 3), dtype=torch.float64)
    assert torch.equal(numbers.bfloat16().double(), numbers)
    assert call.out(1, 0) == [0.0] * call.width


@needs_triton
def test_a_story_is_a_script_that_makes_the_same_tensors(tmp_path: Path) -> None:
    """It was said to be of a whole engine, which no script replays."""
    text = SOLUTION.read_text(encoding="utf-8").replace(
        "BLOCK_SIZE + position % BLOCK_SIZE", "BLOCK_SIZE"
    )
    path = tmp_path / "paged_attention.py"
    path.write_text(text, encoding="utf-8")
    (law,) = judged(path, seed=1, only=["7.1"]).laws
    assert law.story is not None and len(law.story.script) == len(law.story.steps)
    found: dict[str, object] = {}
    exec(
        law.story.script[-1].replace("import paged_attention", "paged_attention = PART"),
        {"PART": load_part(path, "paged_attention")},
        found,
    )
    assert isinstance(found["answer"], torch.Tensor) and found["answer"].dim() == 3


@needs_triton
@pytest.mark.parametrize(
    ("law", "old", "new", "says"),
    [
        (
            "7.1",
            "own[:, None] & (column < D)",
            "own[:, None] & (column < BLOCK_D)",
            "masked by column < D",
        ),
        (
            "7.1",
            "own = position < last",
            "own = position < last + 1",
            "was read, and is NaN: a weight of 0",
        ),
        (
            "7.1",
            'score = tl.where(own[None, :], score, float("-inf"))',
            "score = score",
            "with the score 0",
        ),
        (
            "7.7",
            "span = tl.cdiv(length, split)",
            "span = length // split",
            "has ceil(length / split) = 1",
        ),
        (
            "7.8",
            "higher = tl.maximum(peak, tl.max(score, 1))",
            "higher = tl.zeros_like(peak)",
            "inf / inf is NaN",
        ),
    ],
)
def test_a_wrong_number_is_told_with_where_it_came_from(
    law: str, old: str, new: str, says: str, tmp_path: Path
) -> None:
    text = SOLUTION.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / "paged_attention.py"
    path.write_text(text.replace(old, new), encoding="utf-8")
    (found,) = judged(path, seed=1, only=[law]).laws
    assert says in found.message
