"""Exercise 1: every wrong part dies by the law it names, with a sentence that names the fault; right parts live."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from local_worker import LocalWorker

from graders import exploring, grade
from graders.catalogue import catalogue
from graders.ex1_paged_allocation import growth
from graders.result import LawResult, Outcome

PARTS = Path(__file__).parent / "parts"
WRONG = sorted((PARTS / "wrong" / "ex1").glob("*.py"))
SOLUTION = Path("solutions/ex1_paged_allocation/block_manager.py").resolve()
RIGHT = [*sorted((PARTS / "right" / "ex1").glob("*.py")), SOLUTION]
UNIT = [law for law in catalogue(1).laws if law.kind == "unit"]
LONGEST_STORY = 7  # steps


@dataclass(frozen=True)
class Named:
    """What a wrong part says of itself: the law that kills it, and a pattern that the sentence matches."""

    law: str
    says: str


def named_by(path: Path) -> Named:
    text = ast.get_docstring(ast.parse(path.read_text())) or ""
    law = re.search(r"^Law: (.+)\.$", text, re.MULTILINE)
    says = re.search(r"^Says: *(.*)$", text, re.MULTILINE)
    assert law, f"{path.name} names no law"
    return Named(law.group(1), says.group(1) if says else "")


TIMED = [path for path in WRONG if named_by(path).law == "constant time"]
UNTIMED = [path for path in WRONG if path not in TIMED]


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("graders.bench.Worker", LocalWorker)
    monkeypatch.setattr(exploring, "SHRINKING", 0.2)


def broken_laws(path: Path, seed: int, *laws: str) -> list[LawResult]:
    only = [law.number for law in UNIT if not laws or law.name in laws]
    return [law for law in grade(1, path, seed=seed, only=only).laws if law.outcome.failed]


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("path", UNTIMED, ids=lambda path: path.stem)
def test_a_wrong_part_dies_by_the_law_it_names(path: Path) -> None:
    dies(path)


@pytest.mark.parametrize("path", TIMED, ids=lambda path: path.stem)
def test_a_slow_part_dies_by_the_clock_of_its_own_process(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(growth, "PATIENCE", {"cpu": 0.5, "wall": 60.0})
    dies(path)


def dies(path: Path) -> None:
    named = named_by(path)
    broken = broken_laws(path, 3, named.law)
    assert [law.name for law in broken] == [named.law]
    assert broken[0].outcome is Outcome.FAIL
    assert re.search(named.says, broken[0].message), broken[0].message
    assert broken[0].message.endswith((".", "?", ")")) and broken[0].story
    assert len(broken[0].story.steps) <= LONGEST_STORY, broken[0].story.steps


@pytest.mark.slow
@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_no_law_before_it_is_broken(path: Path) -> None:
    """What a learner reads first is the law that the fault is about."""
    names = [law.name for law in UNIT]
    before = names[: names.index(named_by(path).law)]
    if before:
        assert not broken_laws(path, 4, *before)


@pytest.mark.usefixtures("in_this_process")
@pytest.mark.parametrize("path", RIGHT, ids=lambda path: path.stem)
def test_a_right_part_passes_every_unit_law(path: Path) -> None:
    assert not [law.message for law in broken_laws(path, 5)]
