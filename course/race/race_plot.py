"""A race drawn: who served how many tokens a second, how decoding grows with the batch, how long
requests waited.

The SVG is written by hand and needs nothing; the PNG shows the same panels and needs matplotlib.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import median
from typing import Any

from course.drawings.panels import FAINT, GRID, INK, PAPER, Scale, document, text
from course.race.table import count
from graders.engines.results import RaceResults, Result

COLORS = {
    "reference": "#d1495b",
    "naive": "#e8a7a0",
    "vllm": "#30638e",
    "sglang": "#8a5fa8",
    "tensorrt-llm": "#5b8c3a",
    "llama.cpp": "#c98a1b",
    "ollama": "#4a4a4a",
    "transformers": "#2a9d8f",
}
WIDTH, LEFT, RIGHT, TOP = 960, 132, 40, 92
BAR, GAP = 30, 14
PANEL, HEIGHT = 300, 230  # of the lower row: distance from panel to panel, height of the axes


def svg(race: RaceResults) -> str:
    """The text of an SVG document, without fonts or scripts from elsewhere."""
    whole = race.of("whole")
    lower = TOP + 26 + len(whole) * (BAR + GAP) + 64
    height = lower + HEIGHT + 92
    title, under = headline(race), conditions(race)
    marks = [
        text(28, 38, title, size=20, weight=600),
        text(28, 62, under, size=12.5, fill=FAINT),
        *_bars(whole),
        *_sweep(race, 76, lower),
        *_waits(whole, 76 + PANEL + 120, lower),
        text(28, height - 20, _footnote(race), size=11.5, fill=FAINT),
    ]
    return document(title, WIDTH, height, marks)


def png(race: RaceResults, path: Path) -> None:
    """The same as a PNG. Raises ImportError without matplotlib, OSError where it cannot be written."""
    from matplotlib.figure import Figure  # type: ignore[import-not-found, unused-ignore]

    figure: Any = Figure(figsize=(11, 8), facecolor=PAPER, layout="constrained")
    figure.suptitle(f"{headline(race)}\n", fontsize=15, color=INK, x=0.01, ha="left", weight="bold")
    figure.text(0.01, 0.945, conditions(race), fontsize=8, color=FAINT)
    panels = figure.subplot_mosaic([["whole", "whole"], ["sweep", "waits"]])
    whole = race.of("whole")
    names = [result.engine for result in whole]
    panels["whole"].barh(
        names, [result.rate for result in whole], color=[_color(name) for name in names]
    )
    for place, result in enumerate(whole):
        panels["whole"].plot(
            [lap.rate for lap in result.laps], [place] * len(result.laps), "o", color=INK, ms=3
        )
    panels["whole"].invert_yaxis()
    panels["whole"].set_xlabel("output tokens a second")
    for name, points in _curves(race).items():
        panels["sweep"].loglog(*zip(*points, strict=True), "o-", color=_color(name), label=name)
    batches = sorted({batch for points in _curves(race).values() for batch, _ in points})
    panels["sweep"].set_xticks(batches, [str(batch) for batch in batches])
    panels["sweep"].set_xticks([], minor=True)
    if batches:
        panels["sweep"].legend(frameon=False, fontsize=8)
    panels["sweep"].set_xlabel("decoding together")
    panels["sweep"].set_ylabel("tokens a second")
    panels["waits"].barh(names, [1e3 * result.ttft[1] for result in whole], color=GRID)
    panels["waits"].barh(
        names, [1e3 * result.ttft[0] for result in whole], color=[_color(name) for name in names]
    )
    panels["waits"].invert_yaxis()
    panels["waits"].set_xlabel("ms to the first token, median and 95th percentile")
    for panel in panels.values():
        panel.set_facecolor(PAPER)
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150, format="png")


def headline(race: RaceResults) -> str:
    """What was raced, in a line."""
    course = race.course
    return f"{course.workload} · {course.model} · {count(course.requests, 'request')}"


def conditions(race: RaceResults) -> str:
    """Under which conditions, in a line."""
    course = race.course
    threads = count(course.threads, "thread")
    cache = "prefix caches on" if course.prefix_cache else "prefix caches off"
    return (
        f"{course.machine} · {threads} · {course.dtype} · {course.kv_tokens:,} tokens of KV · "
        f"{course.max_seqs} at once · {cache} · {count(course.rounds, 'round')} · {course.date}"
    )


def _footnote(race: RaceResults) -> str:
    notes = [f"{entrant.engine}: {entrant.note}" for entrant in race.entrants if entrant.note]
    out = [f"{entrant.engine}: {entrant.failure}" for entrant in race.entrants if entrant.failure]
    return " · ".join(
        ["Dots: single rounds. Every token was checked against the model.", *notes, *out]
    )


def _bars(whole: Sequence[Result]) -> Iterator[str]:
    """Throughput: a bar an engine, a dot a round, the ratio to the first beside it."""
    if not whole:
        return
    fastest = max(lap.rate for result in whole for lap in result.laps)
    across = Scale(0, fastest, LEFT, WIDTH - RIGHT - 190)
    yield text(28, TOP + 10, "Output tokens a second", size=14, weight=600)
    for place, result in enumerate(whole):
        top = TOP + 26 + place * (BAR + GAP)
        color = _color(result.engine)
        yield text(LEFT - 12, top + BAR / 2 + 5, result.engine, size=14, anchor="end")
        box = f'x="{LEFT}" y="{top}" width="{across(result.rate) - LEFT:.1f}" height="{BAR}" rx="3"'
        yield f'<rect {box} fill="{color}"/>'
        for lap in result.laps:
            spot = f'cx="{across(lap.rate):.1f}" cy="{top + BAR / 2}" r="3"'
            yield f'<circle {spot} fill="{PAPER}" stroke="{INK}" stroke-width="1.2"/>'
        ratio = (
            ""
            if place == 0
            else f"{median(result.ratios(whole[0]) or (0.0,)):.2f}x {whole[0].engine}"
        )
        right = max(across(lap.rate) for lap in result.laps) + 14
        yield text(right, top + BAR / 2 + 5, f"{result.rate:,.0f}", size=14, weight=600)
        yield text(right + 58, top + BAR / 2 + 5, ratio, size=13, fill=FAINT)


def _curves(race: RaceResults) -> dict[str, list[tuple[int, float]]]:
    """(batch, tokens a second) of every engine that decoded apart."""
    curves: dict[str, list[tuple[int, float]]] = {}
    for scenario, batch in race.scenarios():
        if scenario == "decode":
            for result in race.of(scenario, batch):
                curves.setdefault(result.engine, []).append((batch, result.rate))
    return curves


def _sweep(race: RaceResults, left: float, top: float) -> Iterator[str]:
    """Decoding alone: tokens a second over the batch, both logarithmic."""
    curves = _curves(race)
    if not curves:
        return
    batches = sorted({batch for points in curves.values() for batch, _ in points})
    rates = [rate for points in curves.values() for _, rate in points]
    low, high = 10 ** math.floor(math.log10(min(rates))), 10 ** math.ceil(math.log10(max(rates)))
    across = Scale(
        batches[0], max(batches[-1], batches[0] + 1), left, left + PANEL, logarithmic=True
    )
    up = Scale(low, high, top + HEIGHT, top + 18, logarithmic=True)
    yield text(28, top - 4, "Decoding alone: tokens a second over the batch", size=14, weight=600)
    yield from _decades(low, high, up, left)
    for batch in batches:
        yield text(
            across(batch), top + HEIGHT + 20, str(batch), size=12, anchor="middle", fill=FAINT
        )
    names = sorted(curves, key=lambda name: -curves[name][-1][1])
    heights = _spaced([up(curves[name][-1][1]) for name in names])
    for name, height in zip(names, heights, strict=True):
        points = " ".join(f"{across(batch):.1f},{up(rate):.1f}" for batch, rate in curves[name])
        yield f'<polyline points="{points}" fill="none" stroke="{_color(name)}" stroke-width="2.5"/>'
        for batch, rate in curves[name]:
            yield f'<circle cx="{across(batch):.1f}" cy="{up(rate):.1f}" r="4" fill="{_color(name)}"/>'
        yield text(left + PANEL + 12, height + 4, name, size=12.5, fill=_color(name), weight=600)


def _decades(low: float, high: float, up: Scale, left: float) -> Iterator[str]:
    value = low
    while value <= high:
        y = up(value)
        yield f'<line x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield text(left - 8, y + 4, f"{value:,.0f}", size=12, anchor="end", fill=FAINT)
        value *= 10


def _waits(whole: Sequence[Result], left: float, top: float) -> Iterator[str]:
    """Time to first token: from the median to the 95th percentile, a line an engine."""
    if not whole:
        return
    left += 90
    right = WIDTH - RIGHT - 74
    across = Scale(0, max(result.ttft[1] for result in whole), left, right)
    yield text(
        left - 88, top - 4, "Time to first token: median and 95th percentile", size=14, weight=600
    )
    step = min(44.0, (HEIGHT - 30) / len(whole))
    for place, result in enumerate(whole):
        y, color = top + 36 + place * step, _color(result.engine)
        first, late = (across(seconds) for seconds in result.ttft)
        yield text(left - 10, y + 4, result.engine, size=12.5, anchor="end")
        yield f'<line x1="{left}" x2="{right:.1f}" y1="{y}" y2="{y}" stroke="{GRID}"/>'
        yield f'<line x1="{first:.1f}" x2="{late:.1f}" y1="{y}" y2="{y}" stroke="{color}" stroke-width="5"/>'
        yield f'<circle cx="{first:.1f}" cy="{y}" r="6" fill="{color}"/>'
        yield f'<circle cx="{late:.1f}" cy="{y}" r="5" fill="{PAPER}" stroke="{color}" stroke-width="2.5"/>'
        told = f"{1e3 * result.ttft[0]:,.0f} / {1e3 * result.ttft[1]:,.0f} ms"
        yield text(
            max(late + 12, first + 12),
            y - 8,
            told,
            size=11,
            fill=FAINT,
            anchor="end" if late > right - 60 else "start",
        )


def _spaced(heights: Sequence[float], least: float = 16.0) -> list[float]:
    """The same heights, moved down where labels would overlap."""
    placed: list[float] = []
    for height in heights:
        placed.append(max(height, placed[-1] + least) if placed else height)
    return placed


def _color(engine: str) -> str:
    return COLORS.get(engine, FAINT)
