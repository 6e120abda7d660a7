"""Every report by its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from graders.reports import (
    csv_report,
    github,
    gradescope,
    html,
    json_report,
    junit,
    markdown,
    plain,
)
from graders.reports.github import append_summary
from graders.reports.row import Row

__all__ = ["KINDS", "append_summary", "render", "told_apart"]

KINDS: dict[str, Callable[[Sequence[Row]], str]] = {
    "json": json_report.render,
    "junit": junit.render,
    "gradescope": gradescope.render,
    "github": github.render,
    "check": github.check,
    "markdown": markdown.render,
    "csv": csv_report.render,
    "html": html.render,
}


def render(kind: str, rows: Sequence[Row]) -> str:
    """The report. KeyError for a kind that there is not; ValueError when these rows do not fit it."""
    return KINDS[kind](told_apart(rows))


def told_apart(rows: Sequence[Row]) -> list[Row]:
    """The rows, with no two students in them who look alike."""
    called = plain.told_apart(row.student for row in rows)
    return [replace(row, called=called[row.student]) for row in rows]
