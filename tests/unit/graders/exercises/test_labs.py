"""The labs: every wrong part dies by the law it names, every right part passes, whatever its
insides."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import numbers, right_parts, sampled, wrong_parts

from course.authoring.mutant_files import Mutant
from graders import grade
from graders.checking import random_cases
from graders.exercises.lab1_prefill_decode import in_engine as lab1
from graders.exercises.lab4_speculation import specification as speculation
from graders.registry.catalogue import catalogue
from graders.registry.parts import PARTS, Number, Part
from graders.result import ExerciseResult, Outcome
from graders.simulation import unjudged_run

LABS = [part for part in PARTS if isinstance(part.number, str)]
WRONG = {lab.number: wrong_parts(lab.number) for lab in LABS}
SOLUTIONS = {lab.number: Path("solutions", lab.slug, lab.file_name).resolve() for lab in LABS}
EVERY_WRONG = [part for parts in WRONG.values() for part in parts]
EVERY_RIGHT = [
    (lab.number, path) for lab in LABS for path in [*right_parts(lab.number), SOLUTIONS[lab.number]]
]


@pytest.fixture(autouse=True)
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("graders.checking.workers.Worker", LocalWorker)
    monkeypatch.setattr(random_cases, "SHRINKING", 0.05)
    yield


def judged(lab: Number, path: Path, seed: int, only: list[str] | None = None) -> ExerciseResult:
    return grade(lab, path, seed=seed, only=only, laws_only=True)


def names(values: list[tuple[Number, Path]]) -> list[str]:
    return [f"{lab}-{path.stem}" for lab, path in values]


@pytest.mark.parametrize(("lab", "path"), EVERY_RIGHT, ids=names(EVERY_RIGHT))
def test_a_right_part_keeps_every_law(lab: Number, path: Path) -> None:
    result = judged(lab, path, seed=1)
    assert result.passed, [law.message for law in result.laws if law.outcome is not Outcome.PASS]


@pytest.mark.parametrize("part", sampled(EVERY_WRONG, of_a_law=1), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, tmp_path: Path) -> None:
    (law,) = judged(part.exercise, part.write(tmp_path), seed=3, only=numbers(part)).laws
    assert law.outcome is Outcome.FAIL, "it lives"
    assert law.story is not None and len(law.story.steps) == 1 and law.story.script
    assert re.search(part.says, law.message), law.message


@pytest.mark.slow
@pytest.mark.parametrize("part", EVERY_WRONG, ids=str)
@pytest.mark.parametrize("seed", range(4, 9))
def test_no_other_law_is_broken_first(part: Mutant, seed: int, tmp_path: Path) -> None:
    broken = [
        law.name
        for law in judged(part.exercise, part.write(tmp_path), seed).laws
        if law.outcome.failed
    ]
    assert tuple(broken[:1]) == part.laws


@pytest.mark.parametrize("lab", LABS, ids=lambda lab: str(lab.number))
def test_every_law_has_a_wrong_part_and_the_points_make_a_hundred(lab: Part) -> None:
    laws = catalogue(lab.number).laws
    assert {name for part in WRONG[lab.number] for name in part.laws} == {law.name for law in laws}
    assert sum(law.points for law in laws) == 100


QUOTIENTS = """
    one, fixed = operations(shape, 1, context) / peak, decode_bytes(shape, [], bytes_per_value) / bandwidth
    each = decode_bytes(shape, [context], bytes_per_value) / bandwidth - fixed
    return max(1, math.ceil(fixed / (one - each))) if one > each else None
"""


def test_where_lines_meet_exactly_no_quotient_is_rounded(tmp_path: Path) -> None:
    """Who divides times as floats is right too: the law asks for no exact arithmetic."""
    solved = SOLUTIONS["lab1"].read_text()
    part = tmp_path / "cost_model.py"
    part.write_text(solved.replace(solved[solved.rindex("    ### BEGIN SOLUTION") :], QUOTIENTS))
    for seed in range(6):
        (law,) = judged("lab1", part, seed, ["lab1.6"]).laws
        assert law.outcome is Outcome.PASS, law.message


def test_the_best_tree_is_the_best_of_all_trees() -> None:
    chance = random.Random(5)
    paths = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 0, 0), (0, 1, 0)]
    for _ in range(20):
        share = {path: chance.randint(0, 4) / 8 for path in paths}
        for size in range(len(paths) + 1):
            trees = [
                each for each in combinations(paths, size) if speculation.nodes(each) == set(each)
            ]
            best = speculation.best(share, size)
            assert speculation.tree(best, share) == max(
                speculation.tree(each, share) for each in trees
            )


@pytest.mark.parametrize("cached", [True, False], ids=["cached", "uncached"])
def test_a_run_without_a_model_counts_as_the_engine_does(cached: bool) -> None:
    """The last laws of labs 2 and 3 stand for `Engine.metrics`, without importing torch."""
    from reference_engine.engine import Engine
    from reference_engine.model import random_model
    from reference_engine.parts import Parts
    from reference_engine.slots import Request

    slots = ("block_manager", "scheduler", "prefix_cache")[: 3 if cached else 2]
    parts = {slot: unjudged_run.part(slot) for slot in slots}
    sizes = {"num_blocks": 80, "block_size": 4}
    plain = unjudged_run.UnjudgedEngine(parts, **sizes, seats=3, budget=24)
    engine = Engine(random_model("tiny"), Parts(**parts), **sizes, max_seqs=3, token_budget=24)
    asked = [
        (list(range(length)), answer)
        for length, answer in ((9, 1), (20, 7), (20, 2), (3, 12), (21, 5), (9, 3))
    ]
    for wave in (asked[:2], asked[2:]):
        plain.serve(wave)
        engine.generate(
            [Request(number, prompt, answer) for number, (prompt, answer) in enumerate(wave)]
        )
    assert (plain.steps, plain.computed) == (engine.metrics.steps, engine.metrics.computed)


def test_lab_1_counts_what_the_engine_has_loaded_and_reserved() -> None:
    """Checked without `--laws-only` alone, as it loads torch: the law's tables are those of a real
    engine."""
    from reference_engine.model_loader import load_model

    config, stored = lab1.waiter()
    weights = load_model("waiter").weights
    assert {name: tuple(weight.shape) for name, weight in weights.items()} == dict(stored)
    (law,) = grade("lab1", SOLUTIONS["lab1"], seed=1, only=["lab1.7"]).laws
    assert law.outcome is Outcome.PASS and law.cases == 17, law.message
    assert lab1.shape_of(config).tied


def test_lab_4_counts_what_the_engine_does_while_it_serves(tmp_path: Path) -> None:
    """Without `--laws-only`, as it loads torch: a formula that is wrong on an engine's shares alone
    is found there."""
    (law,) = grade("lab4", SOLUTIONS["lab4"], seed=1, only=["lab4.5"]).laws
    assert law.outcome is Outcome.PASS and law.cases == 9, law.message
    part = tmp_path / "speculation_model.py"
    part.write_text(
        SOLUTIONS["lab4"].read_text()
        + "\n\ndef speed_up(tokens_a_pass, pass_cost):\n    return 1.0\n"
    )
    (law,) = grade("lab4", part, seed=1, only=["lab4.5"]).laws
    assert law.outcome is Outcome.FAIL and "steps without guesses" in law.message


@pytest.mark.parametrize(
    "line", ["import reference_engine.roofline", "from reference_engine.llama import config"]
)
def test_a_lab_may_not_ask_the_engine(line: str, tmp_path: Path) -> None:
    part = tmp_path / "cost_model.py"
    part.write_text(f"{line}\n{SOLUTIONS['lab1'].read_text()}")
    assert judged("lab1", part, seed=1).outcome is Outcome.INVALID
