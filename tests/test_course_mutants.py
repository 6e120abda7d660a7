"""`course mutants` tells a wrong part that dies as it should from one that does not."""

from __future__ import annotations

from pathlib import Path

import pytest
from conftest import Type

from course.commands import mutants
from course.targets import solution_file
from graders.catalogue import catalogue


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with nothing in it but a folder for parts."""
    monkeypatch.setattr(mutants, "installed_root", lambda: tmp_path)
    for kind in ("wrong", "right"):
        (tmp_path / "tests" / "parts" / kind / "ex1").mkdir(parents=True)
    return tmp_path / "tests" / "parts"


def wrong_part(law: str) -> str:
    """Hands out block 0, and says which law should notice."""
    right = solution_file(catalogue(1)).read_text(encoding="utf-8")
    body = right.split('"""', 2)[2].replace("range(num_blocks - 1, 0, -1)", "range(num_blocks - 1, -1, -1)")
    return f'"""Wrong: block 0 is handed out.\n\nLaw: {law}.\n"""{body}'


def test_a_wrong_part_dies_by_the_law_it_names(course: Type, parts: Path) -> None:
    (parts / "wrong" / "ex1" / "block_zero.py").write_text(wrong_part("block arithmetic"), encoding="utf-8")
    shown = course("mutants", "1", "-v")
    assert shown.code == 0
    assert "block_zero" in shown.out
    assert "1.1  block arithmetic" in shown.out
    assert "parts: 1, surprises: 0" in shown.out


def test_a_wrong_part_that_dies_by_another_law_is_a_surprise(course: Type, parts: Path) -> None:
    (parts / "wrong" / "ex1" / "block_zero.py").write_text(wrong_part("sharing"), encoding="utf-8")
    shown = course("mutants", "1")
    assert shown.code == 1
    assert "expected: sharing" in shown.out


def test_a_right_part_that_dies_is_a_surprise(course: Type, parts: Path) -> None:
    (parts / "right" / "ex1" / "block_zero.py").write_text(wrong_part("block arithmetic"), encoding="utf-8")
    shown = course("mutants", "1")
    assert shown.code == 1
    assert "surprises: 1" in shown.out


def test_without_parts_it_says_where_they_would_be(course: Type, parts: Path) -> None:
    shown = course("mutants", "1")
    assert shown.code == 2
    assert "tests/parts" in shown.err
