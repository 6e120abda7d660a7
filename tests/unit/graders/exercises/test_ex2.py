"""The laws of exercise 2: every wrong part dies by the law it names, right parts with other
internals live."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import first_broken, numbers, right_parts, sampled, some, wrong_part, wrong_parts

import graders.checking.random_cases
import graders.checking.workers
import solutions
from course.authoring.mutant_files import Mutant
from graders import grade
from graders.registry.catalogue import catalogue
from graders.result import Outcome

EXERCISE = 2
SOLUTION = Path(solutions.__path__[0]) / catalogue(EXERCISE).slug / catalogue(EXERCISE).file_name

FIGURES = {
    "steps for 24 requests on 8 seats",
    "longest wait for a first token",
    "plan and commit for 256 decodes",
}
HASTY = [part for part in wrong_parts(EXERCISE) if part.name != "endless_plan"]
CLOSING = {"same tokens", "fast enough"}  # they try all of the others together, in the whole engine


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process for each part: the answers of the worker are the same. Stories are hardly
    shortened."""
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.0)


@pytest.mark.parametrize("part", sampled(HASTY), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, quick: None, tmp_path: Path) -> None:
    broken = first_broken(part.write(tmp_path), EXERCISE, only=numbers(part))
    assert broken is not None
    assert broken.story is not None
    assert re.search(part.says, f"{broken.message} {broken.story.got}")


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("part", HASTY, ids=str)
def test_no_earlier_law_kills_a_wrong_part(
    part: Mutant, seed: int, quick: None, tmp_path: Path
) -> None:
    broken = first_broken(part.write(tmp_path), EXERCISE, seed=seed)
    assert broken is not None
    assert broken.name in part.laws


@pytest.mark.parametrize(
    "path", some([*right_parts(EXERCISE), SOLUTION], 5), ids=lambda path: path.stem
)
def test_a_right_part_keeps_every_law(path: Path, quick: None) -> None:
    result = grade(EXERCISE, path, seed=3, laws_only=True)
    assert [law.message for law in result.laws if law.outcome is not Outcome.PASS] == []
    assert result.points == sum(
        law.points for law in catalogue(EXERCISE).laws if law.kind != "throughput"
    )


def test_the_solution_passes_in_a_real_worker() -> None:
    """Behind the wire, every law but the timed engine's, with the figures that are shown beside the
    verdict."""
    laws = [law.number for law in catalogue(EXERCISE).laws if law.name != "fast enough"]
    result = grade(EXERCISE, SOLUTION, seed=5, only=laws)
    assert (result.problem, result.passed, result.points) == ("", True, 100.0)
    assert {figure.name for figure in result.figures} >= FIGURES


def test_every_law_has_a_wrong_part() -> None:
    named = {name for part in wrong_parts(EXERCISE) for name in part.laws}
    assert named == {law.name for law in catalogue(EXERCISE).laws} - CLOSING


@pytest.mark.parametrize("name", ["victim_goes_to_the_tail", "victim_arrives_anew"])
def test_fairness_alone_catches_what_preemption_catches_first(
    name: str, quick: None, tmp_path: Path
) -> None:
    path = wrong_part(EXERCISE, name).write(tmp_path)
    number = next(law.number for law in catalogue(EXERCISE).laws if law.name == "fairness")
    assert first_broken(path, EXERCISE, only=[number]) is not None


def test_a_scheduler_that_never_ends_is_told_apart_in_a_real_worker(tmp_path: Path) -> None:
    """One named outcome, with the step in which it hangs; not a grader that hangs too."""
    part = wrong_part(EXERCISE, "endless_plan")
    broken = first_broken(part.write(tmp_path), EXERCISE, only=numbers(part))
    assert broken is not None
    assert broken.story is not None
    assert (broken.outcome, "did not come back" in broken.message) == (Outcome.TIMEOUT, True)
    assert "plan()" in broken.story.steps[-1]
