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
LEGEND = f"Every figure was measured here, or is of a card that counts here. {NOT_MEASURED.capitalize()}: –."


def render(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> Iterator[Text | Table]:
    """For the terminal: engines across, as there are fewer of them than figures."""
    yield Text(f"{TITLE}: {machine}", style="bold")
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("")
    for row in rows:
        table.add_column(row.engine.name, justify="right", overflow="fold")
    for heading, cells in _lines(rows):
        table.add_row(Text(heading, style="dim"), *map(clean, cells))
    yield table
    yield Text(LEGEND, style="dim")
    for source in _sources(rows):
        yield Text(source, style="dim")
    yield Text()
    for each in advice:
        yield Text(_sentence(each), style="yellow" if each.differs else "")


def markdown(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """One row a figure, one column an engine."""
    head = f"| | {' | '.join(row.engine.what for row in rows)} |"
    rule = f"|---|{'---:|' * len(rows)}"
    lines = [f"| {heading} | {' | '.join(_escaped(cell) for cell in cells)} |" for heading, cells in _lines(rows)]
    notes = [f"* {_escaped(_sentence(each))}" for each in advice]
    sources = [f"* {_escaped(source)}" for source in _sources(rows)]
    return "\n".join([f"# {TITLE}", "", machine, "", head, rule, *lines, "", LEGEND, "", *sources, "", *notes, ""])


def html(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """A page without scripts, fonts or styles from elsewhere."""
    head = "".join(f"<th>{escape(row.engine.what)}</th>" for row in rows)
    lines = [
        f"<tr><th>{escape(heading)}</th>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"
        for heading, cells in _lines(rows)
    ]
    notes = [f"<li>{escape(_sentence(each))}</li>" for each in advice]
    sources = [f"<li>{escape(source)}</li>" for source in _sources(rows)]
    style = (
        "body{font-family:system-ui,sans-serif;background:#fdfcf8;color:#22252a;max-width:70rem;margin:2rem auto}"
        "table{border-collapse:collapse}th,td{padding:.3rem .7rem;border-bottom:1px solid #e4e1d8;text-align:right}"
        "th:first-child{text-align:left}"
    )
    return "\n".join(
        [
            f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{TITLE}</title><style>{style}</style>',
            f"<h1>{TITLE}</h1><p>{escape(machine)}</p>",
            f"<table><tr><th></th>{head}</tr>",
            *lines,
            f"</table><p>{escape(LEGEND)}</p><ul>",
            *sources,
            "</ul><h2>Which one</h2><ul>",
            *notes,
            "</ul></html>",
            "",
        ]
    )


def as_json(rows: Sequence[Row], advice: Sequence[Advice], machine: str) -> str:
    """Figures with their sources; null where nothing was measured."""
    told = {"machine": machine, "rows": [asdict(row) for row in rows], "advice": [asdict(each) for each in advice]}
    return json.dumps(told, indent=1, ensure_ascii=False) + "\n"


def _lines(rows: Sequence[Row]) -> Iterator[tuple[str, list[str]]]:
    yield "version", [row.version or "–" for row in rows]
    for name, (heading, unit) in COLUMNS.items():
        yield f"{heading}, {unit}", [_figure(row.cells[name], unit) for row in rows]
    yield "guesses, as documented", [row.engine.guesses for row in rows]
    yield "known for", [row.engine.good_for for row in rows]


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
    agrees = f"not the popular answer, {advice.popular}" if advice.differs else "which is the popular answer too"
    return f"{advice.purpose}: {advice.supported}, {agrees}; {advice.because}"


def _escaped(text: str) -> str:
    return clean(text).replace("|", "\\|").replace("<", "&lt;")
