"""Of a part beside the course's own parts nothing is told but types, lines and the names of
functions."""

from __future__ import annotations

from typing import Any

import pytest

from graders.checking.replies import Raised, function_name
from graders.sandbox.quiet import LONGEST, quiet


def raised(type: str, text: str, frames: Any = ()) -> dict[str, Any]:
    return {"kinds": [], "type": type, "text": text, "frames": [list(frame) for frame in frames]}


SECRET = "def plan(self): return ['the solution']"


@pytest.mark.parametrize(
    "answer",
    [
        {"x": raised("ValueError", SECRET, [(3, "plan")])},
        {"x": raised("ValueError", SECRET)},
        {"x": raised("RuntimeError", SECRET, [(3, "plan")])},
        {"x": {**raised("Undue", SECRET), "got": SECRET}},
        {"x": raised("PartError", f"scheduler raised KeyError: {SECRET}")},
        {
            "calls": [{"x": raised("KeyError", SECRET, [(1, "f")])}],
            "seen": [{"x": raised("KeyError", SECRET)}],
        },
        {"moves": [[{"x": raised("KeyError", SECRET)}, []]]},
    ],
)
def test_no_text_of_an_exception_is_told(answer: Any) -> None:
    assert "solution" not in str(quiet(answer))


def test_what_the_engine_says_is_told_and_not_for_ever() -> None:
    said = "scheduler: the plan costs 9 tokens, the budget is 8"
    assert quiet({"x": raised("PartError", said)})["x"]["text"] == said
    assert len(quiet({"x": raised("PartError", "plan " * 9000)})["x"]["text"]) == LONGEST
    assert (
        quiet({"x": raised("RuntimeError", "can't allocate memory")})["x"]["text"]
        == "can't allocate memory"
    )


@pytest.mark.parametrize("type", ["PartError", "RuntimeError", "OSError"])
def test_a_sentence_of_the_engine_s_holds_no_word_and_no_long_number_of_the_part_s(
    type: str,
) -> None:
    said = (
        f"scheduler: commit() returned {SECRET!r} and {10**40}, but {list(range(50))} have finished"
    )
    told = quiet({"x": raised(type, said)})["x"]["text"]
    assert told.startswith("scheduler: commit() returned ")
    assert not {"def", "solution", "0" * 7} & set(told.replace("'", " ").split())
    assert sum(word.isdecimal() for word in told.replace(",", " ").split()) <= 12


def test_numbers_and_what_was_returned_stay() -> None:
    answer = {"calls": [{"r": [1, {"s": "x"}]}], "seen": [], "tally": list(range(9))}
    assert quiet(answer) == answer


@pytest.mark.parametrize("name", ["admit", "<module>", "<lambda>", "<listcomp>", "größe", "_" * 60])
def test_names_that_a_file_can_give_to_functions_are_told(name: str) -> None:
    assert function_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "a b",
        "x" * 61,
        "return ['the solution']",
        "<script>alert(1)</script>",
        "<>",
        "a\n",
        "<a",
        "1a",
    ],
)
def test_a_name_that_no_file_can_give_to_a_function_is_not_told(name: str) -> None:
    assert function_name(name) == "?"
    assert Raised.of(raised("E", "", [(1, name)])).frames == ((1, "?"),)
