"""Curves and bars in panels, as an SVG without fonts or scripts from elsewhere, or as a PNG by
matplotlib."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from xml.sax.saxutils import escape

PAPER, INK, FAINT, GRID = "#fdfcf8", "#22252a", "#6f7680", "#e4e1d8"
FONT = "system-ui, -apple-system, 'Segoe UI', Helvetica, Arial, sans-serif"
PALETTE = ("#d1495b", "#30638e", "#5b8c3a", "#c98a1b", "#8a5fa8", "#2a9d8f", "#4a4a4a")
WIDTH, MARGIN, TOP = 1000, 28, 84
PANEL, HEIGHT, ACROSS, DOWN, LEFT = 372, 220, 490, 372, 72
"""Of a panel: width and height of its axes; from panel to panel; room for the numbers on its left."""
ROOM = 1.1
"""Times the largest value: above it stand the figures of bars, and above those the legend."""
LETTER = 6.6
"""Pixels of a letter in a legend, on average."""
Style = Literal["measured", "formula"]
DASHES: dict[Style, str] = {"measured": "", "formula": "6 4"}


@dataclass(frozen=True, slots=True)
class Scale:
    """From values to pixels, straight or logarithmic."""

    low: float
    high: float
    start: float
    end: float
    logarithmic: bool = False

    def __call__(self, value: float) -> float:
        low, high = self.low, self.high
        if self.logarithmic:
            low, high, value = math.log(low), math.log(high), math.log(max(value, self.low))
        return self.start + (value - low) / ((high - low) or 1.0) * (self.end - self.start)


@dataclass(frozen=True, slots=True)
class Curve:
    """name: in the legend. points: (x, y), from left to right. A formula is dashed and has no dots."""

    name: str
    points: tuple[tuple[float, float], ...]
    style: Style = "measured"
    dots: bool = True


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes. names: of the places 0, 1, …, where x is no number: then bars are drawn.
    marks: upright lines at x, each with what it says.
    """

    title: str
    x: str
    y: str
    curves: tuple[Curve, ...]
    log_x: bool = False
    log_y: bool = False
    names: tuple[str, ...] = ()
    marks: tuple[tuple[float, str], ...] = ()

    @property
    def drawn(self) -> tuple[Curve, ...]:
        """The curves that have a point."""
        return tuple(curve for curve in self.curves if curve.points)


@dataclass(frozen=True, slots=True)
class Figure:
    """Panels, two beside each other; title and a line below it."""

    title: str
    under: str
    panels: tuple[Panel, ...]
    footnote: str = ""


def ticks(low: float, high: float, *, logarithmic: bool, most: int = 6) -> tuple[float, ...]:
    """Round numbers from at most `low` to at least `high`."""
    if logarithmic:
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        return tuple(10.0**power for power in range(first, max(last, first + 1) + 1))
    span = (high - low) or abs(high) or 1.0
    step = 10.0 ** math.floor(math.log10(span / most))
    step = next(step * by for by in (1, 2, 5, 10) if span / (step * by) <= most)
    first, last = math.floor(low / step), math.ceil(high / step)
    return tuple(round(step * number, 12) for number in range(first, max(last, first + 1) + 1))


def number(value: float) -> str:
    """A tick as it is written."""
    return f"{value:,.0f}" if value >= 10 or value == int(value) else f"{value:.3g}"


def bounds(panel: Panel) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """The numbers at both axes; of x the places measured, where they are few."""
    points = [point for curve in panel.drawn for point in curve.points]
    xs = sorted({x for curve in panel.drawn if curve.style == "measured" for x, _ in curve.points})
    xs = xs or sorted({x for x, _ in points})
    ys = [y for _, y in points]
    positive = [y for y in ys if y > 0] or [1.0]
    roof = ROOM * max(positive)
    up = (
        ticks(min(positive) / ROOM, roof, logarithmic=True)
        if panel.log_y
        else ticks(min(0.0, *ys), roof, logarithmic=False)
    )
    few = xs if panel.log_x or len(xs) <= 7 else list(ticks(xs[0], xs[-1], logarithmic=False))
    return tuple(few), up


# ---------------------------------------------------------------- SVG


def svg(figure: Figure) -> str:
    """The text of an SVG document."""
    rows = -(-len(figure.panels) // 2)
    height = TOP + rows * DOWN + 20
    marks = [
        text(MARGIN, 38, figure.title, size=20, weight=600),
        text(MARGIN, 60, figure.under, size=12, fill=FAINT),
        *(
            mark
            for place, panel in enumerate(figure.panels)
            for mark in _panel(panel, LEFT + place % 2 * ACROSS, TOP + place // 2 * DOWN + 52)
        ),
        text(MARGIN, height - 10, figure.footnote, size=11.5, fill=FAINT),
    ]
    return document(figure.title, WIDTH, height, marks)


def document(title: str, width: float, height: float, marks: Sequence[str]) -> str:
    """An SVG of these marks on paper; `title` is what a screen reader says."""
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {height:.0f}" width="{width:.0f}" '
        f'height="{height:.0f}" role="img" font-family="{escape(FONT)}">'
    )
    paper = f'<rect width="100%" height="100%" fill="{PAPER}" rx="8"/>'
    return "\n".join([head, f"<title>{escape(title)}</title>", paper, *marks, "</svg>", ""])


def text(
    x: float,
    y: float,
    told: str,
    *,
    size: float,
    fill: str = INK,
    weight: int = 400,
    anchor: str = "start",
) -> str:
    """A line of text."""
    look = f'font-size="{size}" fill="{fill}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(told)}</text>'


def _panel(panel: Panel, left: float, top: float) -> Iterator[str]:
    yield text(left - LEFT + MARGIN, top - 30, panel.title, size=14, weight=600)
    if not panel.drawn:
        yield text(left, top + HEIGHT / 2, "not measured", size=13, fill=FAINT)
        return
    below, beside = bounds(panel)
    across, up = _scales(panel, below, beside, left, top)
    yield from _legend(panel.drawn, left, top - 10)
    yield text(
        left - LEFT + MARGIN, top + HEIGHT + 48, f"{panel.y} ↑   {panel.x} →", size=11.5, fill=FAINT
    )
    for value in beside:
        y = up(value)
        yield f'<line x1="{left}" x2="{left + PANEL}" y1="{y:.1f}" y2="{y:.1f}" stroke="{GRID}"/>'
        yield text(left - 8, y + 4, number(value), size=11.5, anchor="end", fill=FAINT)
    for place, value in enumerate(below):
        told = panel.names[place] if panel.names else number(value)
        yield text(across(value), top + HEIGHT + 20, told, size=11.5, anchor="middle", fill=FAINT)
    for x, told in panel.marks:
        upright = f'x1="{across(x):.1f}" x2="{across(x):.1f}" y1="{top}" y2="{top + HEIGHT}"'
        yield f'<line {upright} stroke="{INK}" stroke-dasharray="2 3"/>'
        yield text(across(x) + 5, top + 12, told, size=11.5)
    for place, curve in enumerate(panel.drawn):
        yield from _curve(curve, place, panel, across, up)


def _scales(
    panel: Panel, below: Sequence[float], beside: Sequence[float], left: float, top: float
) -> tuple[Scale, Scale]:
    inset = PANEL / (2 * len(panel.names)) if panel.names else 0.0
    xs = [x for curve in panel.drawn for x, _ in curve.points] + list(below)
    across = Scale(min(xs), max(xs), left + inset, left + PANEL - inset, panel.log_x)
    return across, Scale(beside[0], beside[-1], top + HEIGHT, top, panel.log_y)


def _legend(curves: Sequence[Curve], left: float, y: float) -> Iterator[str]:
    """Between title and axes, where no data are."""
    x = left
    for place, curve in enumerate(curves):
        look = f'stroke="{PALETTE[place % len(PALETTE)]}" stroke-width="3" stroke-dasharray="{DASHES[curve.style]}"'
        yield f'<line x1="{x:.1f}" x2="{x + 18:.1f}" y1="{y - 4}" y2="{y - 4}" {look}/>'
        yield text(x + 23, y, curve.name, size=11.5)
        x += 36 + LETTER * len(curve.name)


def _curve(curve: Curve, place: int, panel: Panel, across: Scale, up: Scale) -> Iterator[str]:
    color = PALETTE[place % len(PALETTE)]
    if panel.names and curve.style == "measured":
        yield from _bars(curve, place, panel, across, up)
        return
    points = " ".join(f"{across(x):.1f},{up(y):.1f}" for x, y in curve.points)
    dash = f'stroke-dasharray="{DASHES[curve.style]}"'
    yield f'<polyline points="{points}" fill="none" stroke="{color}" stroke-width="2.2" {dash}/>'
    if curve.dots and curve.style == "measured":
        for x, y in curve.points:
            yield f'<circle cx="{across(x):.1f}" cy="{up(y):.1f}" r="3.6" fill="{color}"/>'


def _bars(curve: Curve, place: int, panel: Panel, across: Scale, up: Scale) -> Iterator[str]:
    many = sum(each.style == "measured" for each in panel.drawn)
    wide = 0.7 * PANEL / len(panel.names) / many
    for x, y in curve.points:
        start = across(x) + (place - many / 2) * wide
        box = f'x="{start:.1f}" y="{up(y):.1f}" width="{wide - 2:.1f}" height="{up.start - up(y):.1f}" rx="2"'
        yield f'<rect {box} fill="{PALETTE[place % len(PALETTE)]}"/>'
        yield text(start + wide / 2 - 1, up(y) - 5, number(y), size=10.5, anchor="middle")


# ---------------------------------------------------------------- PNG


def png(figure: Figure, path: Path) -> None:
    """The same as a PNG. Raises ImportError without matplotlib, OSError where it cannot be written."""
    from matplotlib.figure import Figure as Canvas  # type: ignore[import-not-found, unused-ignore]

    rows = -(-len(figure.panels) // 2)
    inches = 1.2 + 3.9 * rows
    canvas: Any = Canvas(figsize=(11, inches), facecolor=PAPER, layout="constrained")
    # the rest is for the two lines above
    canvas.get_layout_engine().set(rect=(0, 0, 1, 1 - 0.8 / inches))
    canvas.text(
        0.01, 1 - 0.2 / inches, figure.title, fontsize=15, color=INK, va="top", weight="bold"
    )
    canvas.text(0.01, 1 - 0.55 / inches, figure.under, fontsize=8, color=FAINT, va="top")
    axes = canvas.subplots(rows, 2, squeeze=False).flatten()
    for panel, axis in zip(figure.panels, axes, strict=False):
        _draw(panel, axis)
    for axis in axes[len(figure.panels) :]:
        axis.set_axis_off()
    canvas.supxlabel(figure.footnote, fontsize=8, color=FAINT, x=0.01, ha="left")
    canvas.savefig(path, dpi=150, format="png")


def _draw(panel: Panel, axis: Any) -> None:
    """One panel on matplotlib's axes; the legend stands above them."""
    axis.set_facecolor(PAPER)
    axis.spines[["top", "right"]].set_visible(False)
    axis.set_title(f"{panel.title}\n", loc="left", fontsize=10.5, weight="bold", color=INK)
    if not panel.drawn:
        axis.text(0.5, 0.5, "not measured", ha="center", color=FAINT, transform=axis.transAxes)
        return
    below, beside = bounds(panel)
    for place, curve in enumerate(panel.drawn):
        color, xs, ys = PALETTE[place % len(PALETTE)], *zip(*curve.points, strict=True)
        if panel.names and curve.style == "measured":
            many = sum(each.style == "measured" for each in panel.drawn)
            drawn = axis.bar(
                [x + (place - (many - 1) / 2) * 0.7 / many for x in xs],
                ys,
                0.68 / many,
                color=color,
                label=curve.name,
            )
            axis.bar_label(drawn, [number(y) for y in ys], fontsize=7, padding=2)
        else:
            dotted = (
                "o-"
                if curve.dots and curve.style == "measured"
                else "-"
                if curve.style == "measured"
                else "--"
            )
            axis.plot(xs, ys, dotted, color=color, label=curve.name, ms=4)
    axis.set_xscale("log" if panel.log_x else "linear")
    axis.set_yscale("log" if panel.log_y else "linear")
    axis.set_ylim(beside[0], beside[-1])
    axis.set_xticks(below, panel.names or [number(value) for value in below], fontsize=8)
    axis.set_yticks(beside, [number(value) for value in beside], fontsize=8)
    axis.set_xticks([], minor=True)
    axis.set_yticks([], minor=True)
    axis.set_xlabel(panel.x, fontsize=8, color=FAINT)
    axis.set_ylabel(panel.y, fontsize=8, color=FAINT)
    axis.grid(axis="y", color=GRID)
    axis.set_axisbelow(True)
    for x, told in panel.marks:
        axis.axvline(x, color=INK, ls=":", lw=1)
        axis.annotate(
            told,
            (x, 0.97),
            xycoords=("data", "axes fraction"),
            fontsize=8,
            xytext=(4, -4),
            textcoords="offset points",
        )
    axis.legend(
        loc="lower left",
        bbox_to_anchor=(-0.02, 0.99),
        ncols=4,
        frameon=False,
        fontsize=8,
        borderaxespad=0.1,
    )
