"""Markdown for people: a table of everybody, then what broke, law by law."""

from __future__ import annotations

import re
from collections.abc import Sequence

from graders.registry.parts import titled
from graders.reports import words
from graders.reports.plain import legal, line, number
from graders.reports.row import Row
from graders.result import LawResult

MOST_TOLD = 200  # rows whose failures are told in full
_SPECIAL = re.compile(r"([\\`*_{}\[\]()#+!|~<>@$&:-])")
_MARK = {"pass": "✅", "ungraded": "⚠️", "quarantined": "⚠️"}


def render(rows: Sequence[Row]) -> str:
    """The whole document."""
    passed = sum(row.result.passed for row in rows)
    lines = ["# Inference kitchen", "", f"{passed} of {len(rows)} passed.", "", *_table(rows)]
    broken = [row for row in rows if not row.result.passed and not row.problem]
    for row in broken[:MOST_TOLD]:
        lines += _told(row)
    if len(broken) > MOST_TOLD:
        lines += ["", f"{len(broken) - MOST_TOLD} more are not told here."]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """One line in which nothing is markup, a mention or a link."""
    return _SPECIAL.sub(lambda found: f"&#{ord(found[0])};", line(text))


def fenced(text: str) -> str:
    """Text in a block that it cannot end."""
    text = legal(text)
    return f"{fence(text)}text\n{text}\n{fence(text)}"


def fence(text: str) -> str:
    """A row of backticks that nothing in the text can close."""
    longest = max((len(run) for run in re.findall("`+", text)), default=0)
    return "`" * max(3, longest + 1)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| | student | exercise | points | isolation | |", "|---|---|---|---|---|---|"]
    for row in rows:
        mark = _MARK.get(words.state(row), "❌")
        isolation = row.result.isolation + (" (advisory)" if row.result.advisory else "")
        cells = [mark, escaped(row.shown), str(row.exercise), words.score(row), isolation]
        lines.append("| " + " | ".join([*cells, escaped(words.verdict(row))]) + " |")
    return lines


def _told(row: Row) -> list[str]:
    lines = ["", f"## {escaped(row.shown)}, {titled(row.exercise)}", ""]
    for law in row.result.laws:
        if law.outcome.failed or law.outcome == "ungraded":
            lines += _law(law)
    figures = [
        f"- {escaped(figure.name)}: {number(figure.value)} {escaped(figure.unit)}"
        for figure in row.result.figures
    ]
    return [*lines, *figures]


def _law(law: LawResult) -> list[str]:
    return [f"**{escaped(words.title(law))}**", "", fenced(words.feedback(law)), ""]
