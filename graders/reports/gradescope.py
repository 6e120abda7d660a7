"""Gradescope's results.json, for one student: a test for each law, scores as points, text and never
html.

Where a part breaks a law its author is shown what it printed; an ungraded law, or less isolation
than is required, leaves the score out, so that Gradescope says that the autograder failed and
nobody takes it for a zero.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from graders.registry.parts import titled
from graders.reports import words
from graders.reports.plain import finite, line, number
from graders.reports.row import Row
from graders.result import LawResult

VISIBLE = "visible"
HIDDEN = "hidden"


class ManyStudents(ValueError):
    """results.json is about one submission."""


def render(rows: Sequence[Row]) -> str:
    """The document. Raises ManyStudents."""
    return json.dumps(document(rows), indent=1, allow_nan=False) + "\n"


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """The same as plain data."""
    students = {row.student for row in rows}
    if len(students) > 1:
        raise ManyStudents(
            f"Gradescope's results are about one student; these are about {len(students)}."
        )
    judged = bool(rows) and not any(words.ungraded(row) or row.result.advisory for row in rows)
    whole: dict[str, Any] = {
        "execution_time": round(sum(row.result.seconds for row in rows), 3),
        "output": "\n".join(_summary(row) for row in rows) or "Nothing was handed in.",
        "output_format": "text",
        "visibility": VISIBLE,
        "stdout_visibility": HIDDEN,
        "tests": [_test(law) for row in rows for law in row.result.laws] if judged else [],
        "leaderboard": _leaderboard(rows),
        "extra_data": {"rows": [_extra(row) for row in rows]},
    }
    if judged or not rows:
        whole["score"] = sum(row.result.points for row in rows)
    checked: dict[str, Any] = finite(whole)
    return checked


def crashed(reason: str) -> dict[str, Any]:
    """The document when there is no result at all: no score, so that it is graded again."""
    checked: dict[str, Any] = finite(
        {
            "output": f"Not graded: {reason} This is not your part's fault; it will be graded again.",
            "output_format": "text",
            "visibility": VISIBLE,
            "stdout_visibility": HIDDEN,
            "tests": [],
        }
    )
    return checked


def _test(law: LawResult) -> dict[str, Any]:
    return {
        "score": law.points,
        "max_score": law.max_points,
        "status": "passed" if law.outcome == "pass" else "failed",
        "name": law.name,
        "number": law.number,
        "output": words.feedback(law),
        "output_format": "text",
        "tags": [str(law.outcome)],
        "visibility": VISIBLE,
    }


def _leaderboard(rows: Sequence[Row]) -> list[dict[str, Any]]:
    speeds = [figure for row in rows for figure in row.result.figures if words.is_speed(figure)]
    return [
        {"name": line(figure.name, 80), "value": figure.value, "order": "desc"} for figure in speeds
    ]


def _summary(row: Row) -> str:
    result = row.result
    said = f"{titled(row.exercise).capitalize()}, {result.name}: {words.score(row)} points. {words.verdict(row)}"
    below = ", below what is required: no score is given" if result.advisory else ""
    said += f"\nIsolation {result.isolation}{below}."
    figures = [
        f"\n{figure.name}: {number(figure.value)} {figure.unit}".rstrip()
        for figure in result.figures
    ]
    return said + "".join(figures)


def _extra(row: Row) -> dict[str, Any]:
    result = row.result
    return {"exercise": row.exercise, "key": row.key, "grader": result.grader}
