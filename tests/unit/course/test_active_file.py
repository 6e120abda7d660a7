"""A part may be written in the file or in the notebook beside it; what was written in counts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from conftest import Type

from course import active_file
from course.targets import solution_file, stub_of
from graders.registry.catalogue import catalogue

EXERCISE = catalogue(3)
STEM = f"exercises/{EXERCISE.slug}/{EXERCISE.slug}.ipynb"


@pytest.fixture
def kitchen(course: Type, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A workspace with notebooks; the current folder."""
    folder = tmp_path / "with-notebooks"
    assert course("init", str(folder), "--notebooks").code == 0
    monkeypatch.chdir(folder)
    return folder


def write_in_the_cell(kitchen: Path, text: str) -> Path:
    path = kitchen / STEM
    notebook = json.loads(path.read_text(encoding="utf-8"))
    (cell,) = [cell for cell in notebook["cells"] if cell["id"] == EXERCISE.slot]
    cell["source"] = text
    path.write_text(json.dumps(notebook), encoding="utf-8")
    return path


def solved() -> str:
    return solution_file(EXERCISE).read_text(encoding="utf-8")


def test_init_brings_a_notebook_for_each_file_when_asked(
    kitchen: Path, course: Type, tmp_path: Path
) -> None:
    files = {path.parent.name for path in kitchen.glob("exercises/*/*.py")}
    assert {path.stem for path in kitchen.glob("exercises/*/*.ipynb")} == files
    assert course("init", str(tmp_path / "plain")).code == 0
    assert not list((tmp_path / "plain").glob("exercises/*/*.ipynb"))


def test_a_notebook_that_alone_was_written_in_is_judged_drawn_and_packed(
    kitchen: Path, course: Type
) -> None:
    write_in_the_cell(kitchen, solved())
    checked = course("check", "3.1", "--seed", "1")
    assert checked.code == 0
    assert STEM in checked.out
    assert course("show", "3").code == 0
    assert "from the cell in" in course("submit", "3").out


def test_a_notebook_can_be_named(kitchen: Path, course: Type) -> None:
    path = write_in_the_cell(kitchen, solved())
    (kitchen / STEM).with_name(EXERCISE.file_name).write_text("x = 1\n")
    assert course("check", "3.1", "--seed", "1", "--using", str(path)).code == 0
    assert course("show", "3", "--using", str(path)).code == 0


def test_the_cell_counts_when_both_were_written_in_as_when_handed_in_and_that_is_said(
    kitchen: Path, course: Type
) -> None:
    """As in a batch and in nbgrader: the same two files are the same part everywhere."""
    write_in_the_cell(kitchen, solved())
    (kitchen / STEM).with_name(EXERCISE.file_name).write_text(
        "class PrefixCache:\n    def __init__(self, size): 1 / 0\n"
    )
    checked = course("check", "3.1", "--seed", "1")
    assert checked.code == 0
    assert f"{EXERCISE.file_name} beside it holds another text" in checked.out


def test_a_notebook_that_cannot_be_read_is_told_of_and_not_the_stub_beside_it(
    kitchen: Path, course: Type
) -> None:
    (kitchen / STEM).write_text("{")
    checked = course("check", "3.1")
    assert checked.code == 1
    assert f"{EXERCISE.slug}.ipynb is not a notebook that can be read" in " ".join(
        checked.out.split()
    )
    assert "untouched stub" not in checked.out


def test_a_failure_in_a_notebook_points_at_its_cell(kitchen: Path, course: Type) -> None:
    write_in_the_cell(
        kitchen, solved().replace("def match", "def match(self):\n        pass\n\n    def other", 1)
    )
    shown = " ".join(course("check", "3.1", "--seed", "1").out.split())
    assert f"look at the cell of {EXERCISE.slug}.ipynb:" in shown
    write_in_the_cell(kitchen, "class PrefixCache:\n    def (\n")
    assert "2 | def (" in " ".join(course("check", "3.1").out.split())


def test_an_untouched_notebook_changes_nothing(kitchen: Path, course: Type) -> None:
    file = (kitchen / STEM).with_name(EXERCISE.file_name)
    assert active_file.in_use(file, EXERCISE) == file
    assert active_file.set_aside(file, EXERCISE) is None
    checked = course("check", "3.1")
    assert checked.code == 1
    assert "prefix_cache.py is the untouched stub" in checked.out


def test_a_notebook_stands_in_for_a_file_that_is_gone(kitchen: Path) -> None:
    file = (kitchen / STEM).with_name(EXERCISE.file_name)
    notebook = write_in_the_cell(kitchen, solved())
    file.unlink()
    assert active_file.in_use(file, EXERCISE) == notebook
    write_in_the_cell(kitchen, stub_of(EXERCISE))
    assert active_file.in_use(file, EXERCISE) == file
