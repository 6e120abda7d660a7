"""Rows of a class of six for reports, with texts that attack whoever shows them; the form of
Gradescope's results."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from graders.batch.grade_job import without_a_try
from graders.batch.jobs import UNKNOWN, GradeJob
from graders.registry.catalogue import catalogue
from graders.reports.row import Row
from graders.result import ExerciseResult, Figure, LawResult, Location, Outcome, Story

EVIL = "</td><script>alert(1)</script>\x1b]0;title\x07\x00\ud800 ::error::x %0A | `code` @everyone\n::stop-commands::x"
FORMULA = '=HYPERLINK("http://example.invalid";"x")'


def law(
    number: int, outcome: Outcome, message: str = "", story: Story | None = None, output: str = ""
) -> LawResult:
    found = catalogue(3).laws[number - 1]
    points = found.points if outcome is Outcome.PASS else 0.0
    return LawResult(
        found.number,
        found.name,
        found.statement,
        outcome,
        points,
        found.points,
        message,
        story,
        0.5,
        3,
        output,
    )


STORY = Story(
    ("insert([1, 2], [7])", "match([1, 2])"),
    "0",
    "2",
    Location("prefix_cache.py", 41, "match"),
    "course check 3.1",
)
FIGURES = (
    Figure("shared_menu, speed beside the reference engine", 0.97, "x", 0.8, "bound"),
    Figure("match of 32768 tokens", float("nan"), "µs"),
)


def result(*laws: LawResult, problem: str = "") -> ExerciseResult:
    figures = FIGURES if all(each.outcome is Outcome.PASS for each in laws) else ()
    return ExerciseResult(
        3, "prefix cache", "prefix_cache.py", laws, figures, "L4", problem=problem, seconds=1.25
    )


RIGHT = Row(
    "ada", 3, result(law(1, Outcome.PASS), law(2, Outcome.PASS)), "class/ada/prefix_cache.py", "k1"
)
WRONG = Row(
    EVIL,
    3,
    result(law(1, Outcome.FAIL, EVIL, STORY, EVIL), law(2, Outcome.SKIPPED, "needs 3.1 first")),
    f"class/{EVIL}/prefix_cache.py",
    "k2",
)
HUNG = Row(
    FORMULA,
    3,
    result(law(1, Outcome.PASS), law(2, Outcome.TIMEOUT, "no answer in 20 s")),
    "class/x.py",
    "k3",
)
UNGRADED = Row(
    "dan",
    3,
    result(
        law(1, Outcome.PASS), law(2, Outcome.UNGRADED, "Not graded: the machine ran out of memory")
    ),
    "d",
    "k4",
)
NOTHING = Row(
    "eve",
    UNKNOWN,
    without_a_try(GradeJob("eve", UNKNOWN, "e", "e", "k5"), "e is empty.", Outcome.FAIL),
    "e",
    "k5",
)
STUB = Row(
    "fay",
    3,
    without_a_try(GradeJob("fay", 3, "f", "f", "k6"), "f is the untouched stub.", Outcome.FAIL),
    "f",
    "k6",
)
ROWS = (RIGHT, WRONG, HUNG, UNGRADED, NOTHING)


Visibility = Literal["hidden", "after_due_date", "after_published", "visible"]


class GradescopeTest(msgspec.Struct, forbid_unknown_fields=True):
    """Gradescope's own words: https://gradescope-autograders.readthedocs.io/en/latest/specs/."""

    score: float
    max_score: float
    status: Literal["passed", "failed"]
    name: str
    number: str
    output: str
    output_format: Literal["text", "html", "simple_format", "md", "ansi"]
    tags: list[str]
    visibility: Visibility


class Leader(msgspec.Struct, forbid_unknown_fields=True):
    name: str
    value: float | str
    order: Literal["asc", "desc"] = "desc"


class Gradescope(msgspec.Struct, forbid_unknown_fields=True):
    tests: list[GradescopeTest]
    output: str
    output_format: Literal["text"]
    visibility: Visibility
    stdout_visibility: Visibility
    score: Annotated[float, msgspec.Meta(ge=0)] | None = None
    execution_time: float | None = None
    leaderboard: list[Leader] = []
    extra_data: dict[str, Any] = {}
