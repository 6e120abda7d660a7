"""One line a row for spreadsheets: every cell quoted, none taken for a formula."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from graders.reports import words
from graders.reports.plain import cell, number
from graders.reports.row import Row

COLUMNS = (
    "student", "exercise", "name", "state", "points", "max_points", "verdict", "laws_broken", "isolation", "advisory",
    "seconds", "seed", "grader", "source", "key",
)  # fmt: skip


def render(rows: Sequence[Row]) -> str:
    """A header and the rows. The points of a row that is not judged yet are left empty: they are no
    zero."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in rows:
        writer.writerow([cell(value) for value in _values(row)])
    return out.getvalue()


def _values(row: Row) -> list[str]:
    result = row.result
    return [
        row.shown,
        str(row.exercise),
        result.name,
        words.state(row),
        "" if words.ungraded(row) else number(result.points),
        number(result.max_points),
        words.verdict(row),
        " ".join(law.number for law in words.broken(row)),
        result.isolation,
        "yes" if result.advisory else "no",
        f"{result.seconds:.3f}",
        str(result.seed),
        result.grader,
        row.source,
        row.key,
    ]
