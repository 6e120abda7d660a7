"""The quick reference as a table of the terminal, Markdown, HTML and JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from html import escape

from rich.table import Table
from rich.text import Text

from course.terminal import clean
from graders.experiments.quick_reference import COLUMNS, NOT_MEASURED, Advice, Cell, Row

TITLE = "Quick reference"
LEFT = (0, 1, 2 + len(COLUMNS), 3 + len(COLUMNS))
"""Columns that hold words."""
SHORT = (
    "engine",
    "version",
    "prefill",
    "alone",
    "at 16",
    "at 64",
    "x ours",
    "cache",
    "start",
    "MiB",
)
SHORT_LEGEND = (
    "prefill, and decoding alone, at 16 and at 64, in tokens a second; mixed requests, times ours; times as fast by "
    "its prefix cache on a shared menu; seconds to start; memory at most."
)
STYLE = (
    "body{font-family:system-ui,sans-serif;background:#fdfcf8;color:#22252a;max-width:80rem;margin:2rem auto}"
    "table{border-collapse:collapse}th,td{padding:.3rem .6rem;border-bottom:1px solid #e4e1d8;text-align:left}"
)
LEGEND = f"Every figure was measured here, or is of a card that counts here. {NOT_MEASURED.capitalize()}: –."


def render(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> Iterator[Text | Table]:
    """For the terminal: one row an engine."""
    yield Text(f"{TITLE}: {machine}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for place, heading in enumerate(SHORT):
        table.add_column(heading, justify="right" if place > 1 else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            *(clean(cell) for place, cell in enumerate(_cells(row)) if place < len(SHORT))
        )
    yield table
    yield Text(f"{SHORT_LEGEND} {LEGEND}", style="dim")
    for row in rows:
        yield Text(
            f"{row.engine.name}: known for {row.engine.good_for}; guesses: {row.engine.guesses}"
        )
    for source in _sources(rows):
        yield Text(source, style="dim")
    yield Text()
    for each in advice:
        yield Text(_sentence(each), style="yellow" if each.differs else "")


def markdown(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """One row an engine."""
    headings = _headings()
    rule = "|".join("---" if place in LEFT else "---:" for place in range(len(headings)))
    lines = [f"| {' | '.join(map(_escaped, _cells(row)))} |" for row in rows]
    notes = [f"* {_escaped(_sentence(each))}" for each in advice]
    sources = [f"* {_escaped(source)}" for source in _sources(rows)]
    head = [f"# {TITLE}", "", machine, "", f"| {' | '.join(headings)} |", f"|{rule}|"]
    return "\n".join([*head, *lines, "", LEGEND, "", *sources, "", *notes, ""])


def html(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """A page without scripts, fonts or styles from elsewhere."""
    head = "".join(f"<th>{escape(heading)}</th>" for heading in _headings())
    lines = [
        f"<tr>{''.join(f'<td>{escape(clean(cell))}</td>' for cell in _cells(row))}</tr>"
        for row in rows
    ]
    notes = [f"<li>{escape(_sentence(each))}</li>" for each in advice]
    sources = [f"<li>{escape(source)}</li>" for source in _sources(rows)]
    opening = f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{TITLE}</title><style>{STYLE}</style>'
    body = [f"<h1>{TITLE}</h1><p>{escape(machine)}</p><table><tr>{head}</tr>", *lines, "</table>"]
    beside = [
        f"<p>{escape(LEGEND)}</p><ul>",
        *sources,
        "</ul><h2>Which one</h2><ul>",
        *notes,
        "</ul></html>",
        "",
    ]
    return "\n".join([opening, *body, *beside])


def as_json(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """Figures with their sources; null where nothing was measured."""
    told = {
        "machine": machine,
        "rows": [asdict(row) for row in rows],
        "advice": [asdict(each) for each in advice],
    }
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _headings() -> list[str]:
    return [
        "engine",
        "version",
        *(f"{name}, {unit}" for name, unit in COLUMNS.values()),
        "guesses",
        "known for",
    ]


def _cells(row: Row) -> list[str]:
    figures = [_figure(row.cells[name], unit) for name, (_, unit) in COLUMNS.items()]
    return [row.engine.name, row.version or "–", *figures, row.engine.guesses, row.engine.good_for]


def _figure(cell: Cell, unit: str) -> str:
    if cell.value is None:
        return "–"
    return f"{cell.value:,.2f}" if unit == "x" else f"{cell.value:,.{1 if cell.value < 10 else 0}f}"


def _sources(rows: Sequence[Row]) -> Iterator[str]:
    """Which figures are from where, a line a source; and why engines have none."""
    known: dict[str, list[str]] = {}
    for name, (heading, _) in COLUMNS.items():
        for row in rows:
            if row.cells[name].source:
                known.setdefault(f"{row.engine.name}, {row.cells[name].source}", []).append(heading)
    for source, headings in known.items():
        yield f"{source}: {'; '.join(headings)}"
    for row in rows:
        if row.why:
            yield f"{row.engine.name}: {clean(row.why)}"


def _sentence(advice: Advice) -> str:
    if not advice.supported:
        return f"{advice.purpose}: the popular answer is {advice.popular}; {advice.because}"
    popular = f"the popular answer, {advice.popular}, was {NOT_MEASURED}"
    if advice.differs:
        popular = f"not {advice.popular}, the popular answer"
    elif advice.supported == advice.popular:
        popular = "the popular answer too"
    return f"{advice.purpose}: {advice.because}; {popular}"


def _escaped(text: str) -> str:
    return clean(text).replace("|", "\\|").replace("<", "&lt;")
