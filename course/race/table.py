"""A race as it is told in the terminal: one table a scenario, and what has to be said beside the
figures."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median

from rich.table import Table
from rich.text import Text

from course.terminal import clean
from graders.engines.loaded import BEST
from graders.engines.results import RaceEntry, RaceResults, Result
from reference_engine.roofline import RaisedCeiling

TITLES = {
    "whole": "the workload",
    "prefill": "prompts alone, in prompt tokens",
    "decode": "decoding alone, {:,} at a time",
    "prompt": "a prompt of {:,} tokens alone, in prompt tokens",
    "context": "decoding alone after {:,} tokens",
}


def render(race: RaceResults) -> Iterator[Text | Table]:
    """What to print, block by block."""
    yield Text(_heading(race), style="bold")
    yield Text(_conditions(race), style="dim")
    for scenario, batch in race.scenarios():
        yield Text(f"\n{TITLES[scenario].format(batch)}")
        yield _table(race.of(scenario, batch), reading=scenario in ("prefill", "prompt"))
    yield Text()
    for entrant in race.entrants:
        yield _beside(entrant)
    yield Text(_legend(race), style="dim")
    for doubt in doubts(race):
        yield Text(doubt, style="yellow")


def count(number: int, noun: str) -> str:
    """So many of them, in words."""
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def doubts(race: RaceResults) -> Iterator[str]:
    """What keeps the figures from being taken at their word, a sentence each."""
    if race.interrupted:
        yield f"Interrupted after {count(race.course.rounds, 'round')}: what came later does not count."
    engines = {result.engine for result in race.results}
    first = race.entrants[0].engine if race.entrants else ""
    if len(engines) == 1 < len(race.entrants):
        yield f"Only {race.measure} is left: there is nothing to compare it with."
    elif engines and race.measure != first:
        yield f"Ratios are to {race.measure}, as {first} is out."
    for raised in race.course.raised:
        yield _raised(raised)
    if race.course.loaded:
        yield "The machine was busy: ratios may be off; close what else is running and race again."
    if race.starved:
        yield _starved(race)


def _raised(raised: RaisedCeiling) -> str:
    if not raised.possible:
        return f"{raised}: its figures are to be looked at by a person before they are believed."
    return f"{raised}."


def _starved(race: RaceResults) -> str:
    worst = min(race.starved, key=lambda result: result.cores)
    return (
        f"The machine was too busy: {worst.engine} got {worst.cores:.1f} of a core in the scenario {worst.scenario!r}. "
        "The rates and ratios above do not count; compare tokens a core-second, or race again on a quiet machine."
    )


def _legend(race: RaceResults) -> str:
    first = race.measure
    ratio = f"ratio: to {first}, the median of the rounds; range: of the ratios. " if first else ""
    return (
        f"{ratio}TTFT, TPOT: median/95th percentile of the requests. "
        "a core-s: tokens a processor second. "
        "roof: the least time that this machine's memory and arithmetic allow, over the time taken."
    )


def _heading(race: RaceResults) -> str:
    course = race.course
    requests, rounds = count(course.requests, "request"), count(course.rounds, "round")
    return f"{course.workload} · {course.model} · {requests} · {rounds}, interleaved"


def _conditions(race: RaceResults) -> str:
    course = race.course
    threads = count(course.threads, "thread")
    cache = (
        "prefix caches on, flushed between rounds" if course.prefix_cache else "prefix caches off"
    )
    return (
        f"{course.machine}, {threads} an engine, {_computed(race)}, greedy, EOS ignored; "
        f"{course.kv_tokens} tokens of KV, {course.max_seqs} requests at once, {cache}; "
        f"{course.peak / 1e9:.0f} Gflop/s and {course.bandwidth / 1e9:.0f} GB/s {_known(race)}; "
        f"load {course.busy:g} a core at the start; {course.date}"
    )


def _computed(race: RaceResults) -> str:
    """In what."""
    return "each in its quickest dtype" if race.course.dtype == BEST else race.course.dtype


def _known(race: RaceResults) -> str:
    """How the ceilings are known."""
    return "measured or shown" if race.course.raised else "measured"


def _table(results: tuple[Result, ...], *, reading: bool) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    table.add_column(
        "engine", no_wrap=True, min_width=max(len(result.engine) for result in results)
    )
    for title in ("tok/s", "ratio", "range", "a core-s", "TTFT s", "TPOT ms", "roof"):
        table.add_column(title, justify="right", no_wrap=True)
    for result in results:
        table.add_row(*_row(result, results[0], reading))
    return table


def _row(result: Result, measure: Result, reading: bool) -> tuple[str, ...]:
    scale = result.reading / result.rate if reading else 1.0
    ratios = result.ratios(measure)
    return (
        result.engine,
        f"{result.rate * scale:,.0f}",
        f"{median(ratios):.2f}x" if ratios else "",
        f"{min(ratios):.2f}–{max(ratios):.2f}" if ratios else "",
        f"{result.thrift * scale:,.0f}" if result.thrift else "",
        "/".join(_seconds(moment) for moment in result.ttft),
        _milliseconds(result.tpot) if result.tpot else "",
        f"{result.roofline:.0%}",
    )


def _seconds(value: float) -> str:
    """Three digits that count."""
    return f"{value:.{1 if value >= 10 else 2 if value >= 1 else 3}f}"


def _milliseconds(pair: tuple[float, float]) -> str:
    digits = 0 if pair[1] >= 0.1 else 1
    return f"{1e3 * pair[0]:,.{digits}f}/{1e3 * pair[1]:,.{digits}f}"


def _beside(entrant: RaceEntry) -> Text:
    """Version, flags and caveat of an engine, or why it is not in the race."""
    line = Text(entrant.engine, style="bold")
    line = Text.assemble(line, f" {clean(entrant.version)}" if entrant.version else "")
    if entrant.failure:
        told = clean(entrant.sentence)
        rest = told.removeprefix(entrant.engine)  # which opens the line already
        return line.append(f": {told}" if rest == told else rest, style="red")
    if entrant.note:
        line.append(f", {entrant.note}", style="yellow")
    if entrant.parameters:
        line.append(f"; {entrant.parameters:,} parameters in {clean(entrant.dtype)}", style="dim")
    if entrant.tried:
        tried = ", ".join(f"{way} {_seconds(seconds)} s" for way, seconds in entrant.tried.items())
        line.append(f"; the quickest of {tried}", style="yellow")
    flags = ", ".join(f"{name} {value}" for name, value in (entrant.flags or {}).items())
    held = f", {entrant.memory / 2**20:,.0f} MiB at most" if entrant.memory else ""
    share = (
        f", {entrant.memory / entrant.least:.1f} times its weights and KV"
        if held and entrant.least
        else ""
    )
    return line.append(
        f"; started in {entrant.started:.0f} s{held}{share}; {clean(flags)}", style="dim"
    )
