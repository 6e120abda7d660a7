"""The class on one page: who holds which law, which laws fail most, how fast the right parts are."""

from __future__ import annotations

import statistics
from collections import Counter
from collections.abc import Sequence
from typing import Any

import jinja2

from graders.registry.catalogue import exercises
from graders.reports import words
from graders.reports.plain import line, number
from graders.reports.row import Row
from graders.reports.template import PAGE
from graders.result import LawResult, Outcome

BINS = 16
WIDEST = 24.0  # rem, the longest bar
TOP = 15  # laws that are listed
Data = dict[str, Any]


def render(rows: Sequence[Row]) -> str:
    """One self-contained HTML file; every text in it is escaped."""
    states = Counter(words.state(row) for row in rows)
    numbers = sorted({row.exercise for row in rows})
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    return page.render(
        students=len({row.student for row in rows}),
        rows=rows,
        passed=sum(row.result.passed for row in rows),
        states=sorted(states.items()),
        tables=[_table(each, [row for row in rows if row.exercise == each]) for each in numbers],
        hardest=hardest(rows)[:TOP],
        charts=charts(rows),
    )


def hardest(rows: Sequence[Row]) -> list[Data]:
    """The laws that were broken, the most often broken first."""
    laws: dict[str, LawResult] = {}
    broken: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    for law in (law for row in rows if not row.problem for law in row.result.laws):
        laws.setdefault(law.number, law)
        tried[law.number] += law.outcome not in (Outcome.SKIPPED, Outcome.UNGRADED)
        broken[law.number] += law.outcome.failed
    most = max(broken.values(), default=0)
    return [
        {
            "title": words.title(laws[name]),
            "broken": count,
            "tried": tried[name],
            "width": number(WIDEST * count / most),
        }
        for name, count in sorted(broken.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def charts(rows: Sequence[Row]) -> list[Data]:
    """A distribution for each ratio of speeds that was measured."""
    found: dict[tuple[int, str], list[float]] = {}
    for row in rows:
        for figure in filter(words.is_speed, row.result.figures):
            found.setdefault((row.exercise, figure.name), []).append(figure.value)
    return [_chart(*what, sorted(ratios)) for what, ratios in sorted(found.items())]


def _chart(exercise: int, name: str, ratios: list[float]) -> Data:
    low, high = ratios[0], ratios[-1]
    width = (high - low) / BINS or 1.0
    bins = Counter(min(BINS - 1, int((ratio - low) / width)) for ratio in ratios)
    most = max(bins.values())
    return {
        "title": line(f"Exercise {exercise}: {name}"),
        "count": len(ratios),
        "median": number(statistics.median(ratios)),
        "low": number(low),
        "high": number(high),
        "bars": [_bar(place, count, most, low + place * width) for place, count in sorted(bins.items())],
    }


def _bar(place: int, count: int, most: int, start: float) -> Data:
    height = 100.0 * count / most
    return {
        "x": 10 + 380 * place / BINS,
        "y": number(110 - height),
        "width": 380 / BINS - 2,
        "height": number(height),
        "tip": f"{count} from {number(start)} on",
    }


def _table(exercise: int, rows: list[Row]) -> Data:
    named = {each.number: each for each in exercises()}
    name = named[exercise].name if exercise in named else "nothing that could be found"
    heads = {law.number: law for row in rows for law in row.result.laws}
    order = sorted(heads, key=lambda each: tuple(map(int, each.split("."))))
    laws = [{"title": words.title(heads[each]), "statement": heads[each].statement} for each in order]
    return {"number": exercise, "name": name, "laws": laws, "rows": [_row(row, order) for row in rows]}


def _row(row: Row, order: list[str]) -> Data:
    laws = {law.number: law for law in row.result.laws}
    untried = row.problem and row.result.outcome is Outcome.FAIL
    return {
        "student": line(row.shown),
        "score": "" if words.ungraded(row) else words.score(row),
        "cells": [_cell(None if untried else laws.get(each)) for each in order],
        "verdict": words.verdict(row),
    }


def _cell(law: LawResult | None) -> Data:
    if law is None:
        return {"outcome": "skipped", "tip": "not tried"}
    why = law.message if law.outcome is not Outcome.PASS else ""
    return {"outcome": str(law.outcome), "tip": line(f"{law.number} {law.outcome} {why}", 160)}
