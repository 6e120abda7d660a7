"""All there is but the seed, which is for whoever marks, as one JSON document."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from graders.reports import words
from graders.reports.plain import finite
from graders.reports.row import Row

FORMAT = 1


def render(rows: Sequence[Row]) -> str:
    """`{"format", "summary", "rows": [{"student", "exercise", "source", "key", "state", …,
    "result"}]}`."""
    return json.dumps(document(rows), indent=1, allow_nan=False) + "\n"


def document(rows: Sequence[Row]) -> dict[str, Any]:
    """The same as plain data."""
    states = Counter(words.state(row) for row in rows)
    summary = {
        "rows": len(rows),
        "students": len({row.student for row in rows}),
        "passed": sum(row.result.passed for row in rows),
        "states": dict(sorted(states.items())),
    }
    whole: dict[str, Any] = finite(
        {"format": FORMAT, "summary": summary, "rows": [_row(row) for row in rows]}
    )
    return whole


def _row(row: Row) -> dict[str, Any]:
    return {
        "student": row.student,
        "exercise": row.exercise,
        "source": row.source,
        "key": row.key,
        "state": words.state(row),
        "quarantined": row.quarantined,
        "attempts": list(row.attempts),
        "verdict": words.verdict(row),
        "result": {name: value for name, value in row.result.to_json().items() if name != "seed"},
    }
