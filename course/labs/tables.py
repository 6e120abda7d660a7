"""A lab, the claims and the quick reference as they are told in the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from rich.table import Table
from rich.text import Text

from course.drawings.panels import Panel, number
from course.labs.figures import figure
from course.labs.formulas import formulas
from course.terminal import clean
from course.workspace import Workspace
from graders.experiments.claims import CLAIMS, Claim, Judgement, Verdict, judged
from graders.experiments.readings import gaps
from graders.experiments.results import LabResults

INK = {Verdict.HELD: "green", Verdict.FAILED: "red", Verdict.UNKNOWN: "yellow"}


def render(results: LabResults, place: Workspace | None) -> Iterator[Text | Table]:
    """A table a panel, the gaps, what is missing, and the claims that the lab settles."""
    setup = results.setup
    whose = formulas(setup.lab, place)
    drawn = figure(results, whose)
    yield Text(drawn.title, style="bold")
    yield Text(
        f"{drawn.under} · {', '.join(f'{name} {version}' for name, version in setup.versions.items())}",
        "dim",
    )
    for panel in drawn.panels:
        if panel.drawn:
            yield Text(f"\n{panel.title}{f', {panel.y}' if panel.y else ''}")
            yield _table(panel)
    told = list(gaps(results)) if setup.lab == 1 else []
    told += [f"Predictions: {whose.source}." if whose.module else f"{whose.source}."]
    if place and not whose.own:
        told.append(f"Yours are drawn while every law holds for them: course check lab{setup.lab}")
    yield Text("\n".join(["", *told]))
    for name, why in results.failures.items():
        yield Text(f"missing: {name}: {clean(why.removeprefix(f'{name}: '))}", style="yellow")
    yield Text()
    for claim in CLAIMS:
        if claim.lab == setup.lab:
            yield claim_line(claim, judged(claim, results))


def claim_line(claim: Claim, judgement: Judgement) -> Text:
    """A claim, its verdict, the figure, and what is said instead."""
    line = Text(f"{claim.number}. {claim.text} ", style="bold")
    line.append(str(judgement.verdict), style=INK[judgement.verdict])
    for part in (judgement.because, judgement.measured):
        if part:
            line.append(f"\n   {clean(part)}", style="default not bold")
    return line.append(f"\n   Rather: {claim.instead}", style="dim not bold")


def claims(judgements: Mapping[int, Judgement]) -> Iterator[Text]:
    """All nine."""
    for claim in CLAIMS:
        yield claim_line(claim, judgements[claim.number])


def _table(panel: Panel) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(panel.x or "", no_wrap=True)
    for curve in panel.drawn:
        table.add_column(curve.name, justify="right")
    xs = sorted({x for curve in panel.drawn for x, _ in curve.points})
    for x in xs if len(xs) <= 16 else xs[:: len(xs) // 8]:
        cells = [dict(curve.points).get(x) for curve in panel.drawn]
        name = panel.names[int(x)] if panel.names else number(x)
        table.add_row(name, *("" if cell is None else number(cell) for cell in cells))
    return table
