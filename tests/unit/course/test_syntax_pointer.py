"""The line that could not be read is shown as an editor would, the caret below the place."""

from __future__ import annotations

import pytest

from course.syntax_pointer import offence


@pytest.mark.parametrize(
    ("source", "line", "shown"),
    [
        (
            "def f(a)\n    pass\n",
            1,
            ["  1 | def f(a)", "              ^"],
        ),
        (
            "if 1:\n\tx = 1\n        y = 2\n",
            3,
            ["  3 |         y = 2", " " * 14 + "^"],
        ),
        ("if 1:\n        x = 1\n\ty = 2\n", 3, ["  3 | →   y = 2", " " * 10 + "^"]),
        ("x = 1\nheap.push()\n", 2, ["  2 | heap.push()", "      ^"]),
    ],
)
def test_a_caret_stands_below_the_fault(source: str, line: int, shown: list[str]) -> None:
    found = offence(source, line)
    assert found is not None
    assert found.shown.split("\n") == shown


@pytest.mark.parametrize("line", [0, 9])
def test_a_line_that_the_file_has_not_is_not_shown(line: int) -> None:
    assert offence("x = 1\n", line) is None


def test_a_line_without_an_end_is_cut() -> None:
    found = offence(f"x = [{'1, ' * 1000}\n", 1)
    assert found is not None
    assert max(map(len, found.shown.split("\n"))) < 200
