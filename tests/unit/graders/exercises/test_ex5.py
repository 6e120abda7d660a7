"""Exercise 5: every wrong part dies by the law it names, every right part passes, whatever its
insides."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from local_worker import LocalWorker
from wrong_parts import numbers, right_parts, sampled, wrong_part, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.exercises.ex5_speculative_sampling import distribution, in_engine
from graders.exercises.ex5_speculative_sampling import random_cases as sampling_cases
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Outcome

WRONG = wrong_parts(5)
SOLUTION = Path("solutions/ex5_speculative_sampling/speculative_sampling.py").resolve()
RIGHT = [*right_parts(5), SOLUTION]
UNIT = [law.number for law in catalogue(5).laws if law.kind == "unit"]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    monkeypatch.setattr(random_cases, "SHRINKING", 0.2)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def judged(path: Path, seed: int, only: list[str] = UNIT) -> ExerciseResult:
    return grade(5, path, seed=seed, only=only)


@pytest.mark.parametrize(
    "path",
    [
        path if path in (SOLUTION, RIGHT[1]) else pytest.param(path, marks=pytest.mark.slow)
        for path in RIGHT
    ],
    ids=lambda path: path.stem,
)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    result = judged(path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@pytest.mark.parametrize("part", sampled(WRONG, of_a_law=2), ids=str)
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
    named = {name for part in WRONG for name in part.laws}
    assert named == {law.name for law in catalogue(5).laws if law.kind == "unit"}


def test_a_story_is_one_call_of_few_guesses(tmp_path: Path) -> None:
    (law,) = judged(wrong_part(5, "from_p_itself").write(tmp_path), seed=5, only=["5.5"]).laws
    assert law.story is not None and len(law.story.steps) == 1
    assert "From p itself it would be" in law.message
    assert law.story.steps[0].count("draft=[[") == 1


@pytest.mark.parametrize("name", ["", "from_p_itself"])
def test_the_engine_shows_what_is_wrong_with_a_part_and_nothing_with_the_solution(
    name: str, tmp_path: Path
) -> None:
    path = wrong_part(5, name).write(tmp_path) if name else SOLUTION
    (law,) = grade(5, path, seed=2, only=["5.12"], laws_only=True).laws
    assert law.outcome is (Outcome.FAIL if name else Outcome.PASS), law.message
    assert not name or "the text is not the large model's" in law.message


# ---------------------------------------------------------------- what the counts prove


def test_all_tests_of_a_check_together_keep_the_published_rate_of_false_alarms(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Each of the ten had that rate for itself: a right part was called wrong once in 100,000
    checks."""
    made: list[object] = []
    for name in ("_chains", "_candidates"):
        monkeypatch.setattr(distribution, name, lambda *arguments: made.append(arguments))
    monkeypatch.setattr(distribution, "SamplingJudge", lambda context: None)
    distribution.same_distribution(SimpleNamespace(seed=1, cases=0))  # type: ignore[arg-type]
    in_the_engine = 1
    assert len(made) + in_the_engine == distribution.TESTS
    for freedom in (2, 4, 8):
        alarms = distribution.TESTS * distribution.survival(distribution.limit(freedom), freedom)
        assert 1.3 * alarms < distribution.FALSE_ALARM == 1e-6
    # of any table of chi-square
    assert distribution.survival(9.48773, 4) == pytest.approx(0.05, rel=1e-4)


def test_a_shift_of_a_tenth_is_seen_and_a_token_that_never_comes_is_infinitely_far() -> None:
    p = {(token,): 0.25 for token in range(4)}
    other = {(0,): 0.35, (1,): 0.15, (2,): 0.25, (3,): 0.25}
    shift = sum((other[text] - p[text]) ** 2 / p[text] for text in p)
    assert shift > distribution.seen_shift(4)
    assert (
        distribution.seen_shift(8) < 0.05 and distribution.seen_shift(8, in_engine.DRAWN) < 0.12
    )  # as the lesson says
    seen = {text: round(distribution.ROWS * share) for text, share in other.items()}
    assert distribution.chi_square(seen, p) > distribution.limit(4)
    assert distribution.chi_square({(9,): 1}, p) == float("inf")


def test_the_points_of_all_laws_make_a_hundred() -> None:
    assert sum(law.points for law in catalogue(5).laws if law.kind != "throughput") == 100


def test_no_logit_of_a_case_is_rounded_on_its_way() -> None:
    """1001.85 is another number in float32, and its softmax another one: the solution broke the law
    by it."""
    steps = [sampling_cases.chance_step(SimpleNamespace(codes=[code])) for code in (0, 1)]
    for base in (0.0, sampling_cases.FAR, -sampling_cases.FAR):
        found = [base + count * step for count in range(-6, 7) for step in steps]
        assert torch.tensor(found, dtype=torch.float32).tolist() == found
