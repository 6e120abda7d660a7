"""Exercise 1: every wrong part dies by the law it names, with a sentence that names the fault;
right parts live."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import right_parts, sampled, some, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.exercises.ex1_paged_allocation import in_engine, samples_in_engine
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome

WRONG = wrong_parts(1)
SOLUTION = Path("solutions/ex1_paged_allocation/block_manager.py").resolve()
RIGHT = [*right_parts(1), SOLUTION]
UNIT = [law for law in catalogue(1).laws if law.kind == "unit"]
LONGEST_STORY = 9  # steps: one part is wrong only beside seven sequences


TIMED = [part for part in WRONG if part.laws == ("constant time",)]
IN_ENGINE = [part for part in WRONG if "same tokens" in part.laws]
UNTIMED = [part for part in WRONG if part not in TIMED + IN_ENGINE]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    # until it is done, on any machine: stories do not differ
    monkeypatch.setattr(random_cases, "SHRINKING", 60.0)
    monkeypatch.setattr(random_cases, "WAITING", 300.0)


def broken_laws(path: Path, seed: int, *laws: str) -> list[LawResult]:
    only = [law.number for law in UNIT if not laws or law.name in laws]
    return [law for law in grade(1, path, seed=seed, only=only).laws if law.outcome.failed]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("part", sampled(UNTIMED), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, tmp_path: Path) -> None:
    dies(part, tmp_path)


@pytest.mark.parametrize("part", sampled(TIMED), ids=str)
def test_a_slow_part_dies_by_the_clock_of_its_own_process(part: Mutant, tmp_path: Path) -> None:
    dies(part, tmp_path)


@pytest.mark.parametrize("part", IN_ENGINE, ids=str)
def test_samples_of_a_prompt_catch_what_short_tables_do_not_show(
    part: Mutant, tmp_path: Path
) -> None:
    path = part.write(tmp_path)
    number = next(law.number for law in catalogue(1).laws if law.name == "same tokens")
    law = next(law for law in grade(1, path, seed=3, only=[number]).laws if law.number == number)
    assert law.outcome is Outcome.FAIL
    assert re.search(part.says, law.message), law.message


@pytest.mark.parametrize("laws_only", [True, False])
def test_the_whole_engine_is_judged_without_torch_unless_laws_are_timed(laws_only: bool) -> None:
    """`course check 1 --laws-only` took ten seconds, four of them to import torch twice."""
    code = f"import sys; from pathlib import Path; from graders import grade; law, = grade(1, Path({str(SOLUTION)!r}), "
    code += f"only=['1.11'], laws_only={laws_only}).laws; print(law.outcome.name, 'torch' in sys.modules)"
    said = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True
    ).stdout.split()
    assert said == ["PASS", str(not laws_only)]
    assert not [law.number for law in catalogue(1).laws if law.ahead and law.kind != "throughput"]


def test_a_sample_that_says_another_token_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its counts are as they should be: the texts alone are wrong."""
    alone = samples_in_engine._alone
    monkeypatch.setattr(in_engine, "_without_a_model", lambda _: None)
    monkeypatch.setattr(
        samples_in_engine,
        "_alone",
        lambda *args: [[*text[:-1], text[-1] ^ 1] for text in alone(*args)],
    )
    (law,) = grade(1, SOLUTION, seed=1, only=["1.11"]).laws
    assert law.message.startswith("Sample 0 of ") and "says other tokens than alone" in law.message


@pytest.mark.parametrize("part", IN_ENGINE, ids=lambda part: part.name)
def test_samples_in_the_real_engine_are_judged_too(
    part: Mutant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(in_engine, "_without_a_model", lambda _: None)
    (law,) = grade(1, part.write(tmp_path), seed=1, only=["1.11"]).laws
    assert law.outcome is Outcome.FAIL


def dies(part: Mutant, folder: Path) -> None:
    (law,) = part.laws
    broken = broken_laws(part.write(folder), 3, law)
    assert [each.name for each in broken] == [law]
    assert broken[0].outcome is Outcome.FAIL
    assert re.search(part.says, broken[0].message), broken[0].message
    assert broken[0].message.endswith((".", "?", ")")) and broken[0].story
    assert len(broken[0].story.steps) <= LONGEST_STORY, broken[0].story.steps


@pytest.mark.usefixtures("in_this_process")
def test_a_call_done_by_halves_is_caught_without_luck_in_the_smallest_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(random_cases, "explore", lambda *_, **__: None)  # no random traces at all
    chosen = [part for part in WRONG if part.laws == ("refusals",)]
    caught = {part.name: broken_laws(part.write(tmp_path), 3, "refusals") for part in chosen}
    assert len(caught) > 10
    assert [name for name, broken in caught.items() if not broken] == []
    stories = [broken[0].story for broken in caught.values()]
    # eight: several blocks that are released again
    assert max(len(story.steps) for story in stories if story) <= 8


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("part", WRONG, ids=str)
def test_no_law_before_it_is_broken(part: Mutant, tmp_path: Path) -> None:
    """What a learner reads first is the law that the fault is about."""
    names = [law.name for law in UNIT]
    own = part.laws[0]
    before = names[: names.index(own)] if own in names else names
    if before:
        broken = broken_laws(part.write(tmp_path), 4, *before)
        assert not [law.name for law in broken if law.name not in part.laws]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("path", some(RIGHT, 5), ids=lambda path: path.stem)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    uncounted = [law.name for law in UNIT if law.name != "constant time"]
    assert not [law.message for law in broken_laws(path, 5, *uncounted)]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize(
    "path",
    [path if path == SOLUTION else pytest.param(path, marks=pytest.mark.slow) for path in RIGHT],
    ids=lambda path: path.stem,
)
def test_a_right_part_takes_constant_time(path: Path) -> None:
    """`make error-rates` asks this many times; counting takes seconds a part."""
    assert not [law.message for law in broken_laws(path, 5, "constant time")]
