"""The line that could not be read is shown as an editor would, the caret below the place."""

from __future__ import annotations

from pathlib import Path

import pytest

from course.mending import offence


@pytest.mark.parametrize(
    ("source", "problem", "shown"),
    [
        (
            "def f(a)\n    pass\n",
            "x has a syntax error in line 1: expected ':'.",
            ["  1 | def f(a)", "              ^"],
        ),
        (
            "if 1:\n\tx = 1\n        y = 2\n",
            "x has a syntax error in line 3: …",
            ["  3 |         y = 2", " " * 14 + "^"],
        ),
        ("if 1:\n        x = 1\n\ty = 2\n", "x has a syntax error in line 3: …", ["  3 | →   y = 2", " " * 10 + "^"]),
        ("x = 1\nheap.push()\n", "x could not be imported: NameError in line 2.", ["  2 | heap.push()", "      ^"]),
    ],
)
def test_a_caret_stands_below_the_fault(source: str, problem: str, shown: list[str], tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text(source)
    found = offence(path, problem)
    assert found is not None
    assert found.shown.split("\n") == shown


@pytest.mark.parametrize(
    "problem", ["part.py is the untouched stub: write `f` (line 1) first.", "a fault in line 9.", "a fault in line 0."]
)
def test_a_sentence_that_names_no_line_of_the_file_shows_none(problem: str, tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text("x = 1\n")
    assert offence(path, problem) is None


def test_a_line_without_an_end_is_cut(tmp_path: Path) -> None:
    path = tmp_path / "part.py"
    path.write_text(f"x = [{'1, ' * 1000}\n")
    found = offence(path, "a syntax error in line 1: '[' was never closed.")
    assert found is not None
    assert max(map(len, found.shown.split("\n"))) < 200
