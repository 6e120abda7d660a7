"""The class on one page: who holds which law, which laws fail most, how fast the right parts are."""

from __future__ import annotations

import base64
import hashlib
import re
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import jinja2
from markupsafe import Markup

from graders.registry.catalogue import exercises
from graders.registry.parts import Number, place, titled
from graders.reports import words
from graders.reports.plain import legal, line, number, person
from graders.reports.row import Row
from graders.reports.similarity import Alike
from graders.reports.template import PAGE, SCRIPT
from graders.result import LawResult, Outcome

BINS = 16
WIDEST = 24.0  # rem, the longest bar
TOP = 15  # laws that are listed
REASONS = 3  # messages of each
LONGEST = 1000  # characters of a story
TIP = 80  # of a tip
SYMBOLS = {
    "pass": "✓", "fail": "✗", "skipped": "·", "timeout": "∞", "crash": "☇", "invalid": "⚑", "ungraded": "?",
}  # fmt: skip
Data = dict[str, Any]


def render(
    rows: Sequence[Row],
    absent: Sequence[str] = (),
    late: Mapping[tuple[str, Number], float] | None = None,
    alike: Sequence[Alike] = (),
) -> str:
    """One self-contained HTML file; every text in it is escaped.

    absent: who is in the class and handed in nothing. late: by student and exercise how many days.
    alike: parts that are similar, or the same.
    """
    late = late or {}
    states = Counter(words.state(row) for row in rows)
    numbers = sorted({row.exercise for row in rows}, key=place)
    page = jinja2.Environment(autoescape=True, undefined=jinja2.StrictUndefined).from_string(PAGE)
    digest = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
    tables = [
        _table(each, [(place, row) for place, row in enumerate(rows) if row.exercise == each], late)
        for each in numbers
    ]
    return page.render(
        script=Markup(SCRIPT),
        digest=Markup(digest),
        symbols=SYMBOLS,
        absent=[line(name) for name in absent],
        titles=list(dict.fromkeys(law["title"] for table in tables for law in table["laws"])),
        late=[
            {"student": line(row.shown), "days": number(late[row.who])}
            for row in rows
            if row.who in late
        ],
        same=identical(rows),
        similar=[_pair(pair) for pair in alike if pair.share < 1],
        stories=[
            _story(place, row, law) for place, row in enumerate(rows) for law in words.broken(row)
        ],
        students=len({row.student for row in rows}),
        rows=rows,
        passed=sum(row.result.passed for row in rows),
        states=sorted(states.items()),
        tables=tables,
        hardest=hardest(rows)[:TOP],
        charts=charts(rows),
    )


def hardest(rows: Sequence[Row]) -> list[Data]:
    """The laws that were broken, the most often broken first, each with the messages that were
    given most often."""
    laws: dict[str, LawResult] = {}
    broken: Counter[str] = Counter()
    tried: Counter[str] = Counter()
    reasons: dict[str, Counter[str]] = {}
    for law in (law for row in rows if not row.problem for law in row.result.laws):
        laws.setdefault(law.number, law)
        tried[law.number] += law.outcome not in (Outcome.SKIPPED, Outcome.UNGRADED)
        broken[law.number] += law.outcome.failed
        if law.outcome.failed:  # the same fault with other values is the same fault
            reasons.setdefault(law.number, Counter())[
                re.sub(r"\d+(\.\d+)?", "…", line(law.message, 160))
            ] += 1
    most = max(broken.values(), default=0)
    return [
        {
            "title": words.title(laws[name]),
            "broken": count,
            "tried": tried[name],
            "width": number(WIDEST * count / most),
            "reasons": [
                {"text": text, "count": times} for text, times in reasons[name].most_common(REASONS)
            ],
        }
        for name, count in sorted(broken.items(), key=lambda item: (-item[1], item[0]))
        if count
    ]


def charts(rows: Sequence[Row]) -> list[Data]:
    """A distribution for each ratio of speeds that was measured."""
    found: dict[tuple[Number, str], list[float]] = {}
    bounds: dict[tuple[Number, str], float] = {}
    for row in rows:
        for figure in filter(words.is_speed, row.result.figures):
            found.setdefault((row.exercise, figure.name), []).append(figure.value)
            if figure.against == "bound" and figure.reference is not None:
                bounds[row.exercise, figure.name] = figure.reference
    return [
        _chart(*what, sorted(ratios), bounds.get(what))
        for what, ratios in sorted(found.items(), key=lambda item: (place(item[0][0]), item[0][1]))
    ]


def identical(rows: Sequence[Row]) -> list[Data]:
    """Groups of students whose parts are the same text, stubs and what could not be tried left out."""
    groups: dict[tuple[Number, str], list[str]] = {}
    for row in rows:
        if row.key and not row.problem:
            groups.setdefault((row.exercise, row.key), []).append(line(row.shown))
    return [
        {"title": titled(exercise), "students": sorted(students)}
        for (exercise, _), students in groups.items()
        if len(students) > 1
    ]


def _story(place: int, row: Row, law: LawResult) -> Data:
    return {
        "id": _anchor(place, law),
        "student": line(row.shown, 80),
        "title": words.title(law),
        "where": line(law.story.where, 80) if law.story else "",
        "text": legal(f"{law.message}\n{words.story(law.story) if law.story else ''}")[:LONGEST],
    }


def _anchor(place: int, law: LawResult) -> str:
    return f"s{place}-{law.number.replace('.', '-')}"


def _chart(exercise: Number, name: str, ratios: list[float], bound: float | None = None) -> Data:
    low, high = ratios[0], ratios[-1]
    if bound is not None:
        low, high = min(low, bound), max(high, bound)
    width = (high - low) / BINS or 1.0
    bins = Counter(min(BINS - 1, int((ratio - low) / width)) for ratio in ratios)
    most = max(bins.values())
    return {
        "title": line(f"{titled(exercise).capitalize()}: {name}"),
        "count": len(ratios),
        "median": number(statistics.median(ratios)),
        "bound": "" if bound is None else number(bound),
        "mark": number(10 + 380 * ((bound or low) - low) / (high - low or 1.0)),
        "low": number(low),
        "high": number(high),
        "bars": [
            _bar(place, count, most, low + place * width) for place, count in sorted(bins.items())
        ],
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


def _pair(pair: Alike) -> Data:
    share = f"{pair.share:.0%}"
    return {
        "title": titled(pair.exercise),
        "one": person(pair.one),
        "other": person(pair.other),
        "share": share,
    }


def _table(
    exercise: Number, rows: list[tuple[int, Row]], late: Mapping[tuple[str, Number], float]
) -> Data:
    named = {each.number: each for each in exercises()}
    name = named[exercise].name if exercise in named else "nothing that could be found"
    heads = {law.number: law for _, row in rows for law in row.result.laws}
    order = sorted(heads, key=lambda each: int(each.partition(".")[2]))
    laws = [
        {"title": words.title(heads[each]), "statement": heads[each].statement} for each in order
    ]
    return {
        "title": titled(exercise),
        "name": name,
        "laws": laws,
        "rows": [_row(*each, order, late) for each in rows],
    }


def _row(place: int, row: Row, order: list[str], late: Mapping[tuple[str, Number], float]) -> Data:
    laws = {law.number: law for law in row.result.laws}
    untried = row.problem and row.result.outcome is Outcome.FAIL
    return {
        "student": line(row.shown),
        "score": "" if words.ungraded(row) else words.score(row),
        "points": "" if words.ungraded(row) else number(row.result.points),
        "state": words.state(row),
        "late": number(late[row.who]) if row.who in late else "",
        "cells": [_cell(place, row, None if untried else laws.get(each)) for each in order],
        "verdict": words.verdict(row),
    }


def _cell(place: int, row: Row, law: LawResult | None) -> Data:
    if law is None:
        return {"outcome": "skipped", "tip": "not tried", "story": ""}
    return {
        "outcome": str(law.outcome),
        "tip": ""
        if law.outcome is Outcome.PASS
        else line(f"{law.number} {law.outcome} {law.message}", TIP),
        "story": _anchor(place, law) if law in words.broken(row) else "",
    }
