"""`course mutants` tells a wrong part that dies as it should from one that does not."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest
from conftest import Type

import graders
from course.commands import mutants
from course.targets import solution_file
from graders.registry.catalogue import catalogue

BLOCK_ZERO = """law: {law}

## block_zero (from solution)
wrong: block 0 is handed out.
<<<<
{line}
====
{changed}
>>>>
"""


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A clone with nothing in it but the solution of exercise 1 and folders for parts."""
    root = tmp_path / "clone"
    monkeypatch.setattr(mutants, "installed_root", lambda: root)
    solution = solution_file(catalogue(1))
    for folder in ("tests/mutants/ex1", "tests/bases/ex1", f"solutions/{solution.parent.name}"):
        (root / folder).mkdir(parents=True)
    shutil.copy(solution, root / "solutions" / solution.parent.name)
    return root


def hand_out_block_zero(clone: Path, law: str) -> str:
    """Keep a mutant that hands out block 0, and says which law should notice; returns its code."""
    old, new = "range(num_blocks - 1, 0, -1)", "range(num_blocks - 1, -1, -1)"
    text = solution_file(catalogue(1)).read_text(encoding="utf-8")
    (line,) = [line for line in text.split("\n") if old in line]
    written = BLOCK_ZERO.format(law=law, line=line, changed=line.replace(old, new))
    (clone / "tests" / "mutants" / "ex1" / "some_law.mutants").write_text(written, encoding="utf-8")
    return text.replace(old, new)


def test_a_wrong_part_dies_by_the_law_it_names(course: Type, clone: Path) -> None:
    hand_out_block_zero(clone, "block arithmetic")
    shown = course("mutants", "1", "-v")
    assert shown.code == 0
    assert "block_zero" in shown.out
    assert "1.1  block arithmetic" in shown.out
    assert "parts: 1, surprises: 0" in shown.out
    table = shown.out[shown.out.index("seeds") :].splitlines()
    assert table[1].split() == ["1.1", "block", "arithmetic", "1", "1", "1", "of", "1"], (
        "law, parts, alone, seeds"
    )
    assert table[2].split() == ["1.2", "giving", "back", "0", "0"]


def test_a_wrong_part_that_dies_by_another_law_is_a_surprise(course: Type, clone: Path) -> None:
    hand_out_block_zero(clone, "sharing")
    shown = course("mutants", "1")
    assert shown.code == 1
    assert "expected: sharing (tests/mutants/ex1/some_law.mutants:3)" in shown.out


def test_who_passes_is_held_to_the_timed_laws_that_somebody_names(
    course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def passed(exercise: int, path: Path, **wanted: object) -> SimpleNamespace:
        asked.append(wanted.get("only") or wanted.get("laws_only"))
        return SimpleNamespace(passed=True, laws=(), problem="", seed=0)

    monkeypatch.setattr(graders, "grade", passed)
    shown = course("mutants", "2", "--only", "costs_summed_for_each")
    assert shown.code == 1
    assert asked == [True, ["2.13"]]


def test_a_right_part_that_dies_is_a_surprise(course: Type, clone: Path) -> None:
    code = hand_out_block_zero(clone, "block arithmetic")
    (clone / "tests" / "bases" / "ex1" / "not_right.py").write_text(code, encoding="utf-8")
    shown = course("mutants", "1", "--only", "not_")
    assert shown.code == 1
    assert "parts: 1, surprises: 1" in shown.out


def test_wrong_parts_are_written_as_whole_files(course: Type, clone: Path, tmp_path: Path) -> None:
    code = hand_out_block_zero(clone, "block arithmetic")
    shown = course("mutants", "1", "--write", str(tmp_path / "whole"))
    assert (shown.code, shown.out.strip()) == (0, "parts written: 1")
    written = (tmp_path / "whole" / "block_zero.py").read_text(encoding="utf-8")
    assert written.startswith('"""Wrong: block 0 is handed out.\n\nLaw: block arithmetic.\n"""\n')
    assert written.split('"""', 2)[2] == code.split('"""', 2)[2]


def test_a_file_of_mutants_that_does_not_fit_is_one_sentence(course: Type, clone: Path) -> None:
    hand_out_block_zero(clone, "no such law")
    shown = course("mutants", "1")
    assert shown.code == 2
    assert "tests/mutants/ex1/some_law.mutants:3: exercise 1 has no law 'no such law'." in " ".join(
        shown.err.split()
    )


def test_without_parts_it_says_where_they_would_be(course: Type, clone: Path) -> None:
    shown = course("mutants", "1")
    assert shown.code == 2
    assert "tests/mutants" in shown.err


def test_an_installed_course_has_no_parts_and_says_so(course: Type, clone: Path) -> None:
    shutil.rmtree(clone)
    shown = course("mutants", "1")
    assert shown.code == 2
    assert "clones alone have them" in " ".join(shown.err.split())
