"""A stored race as a table of the README: written by `course generate` from the JSON of `course
race --store`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from statistics import median

from course.race.table import count, doubts
from graders.engines.loaded import DTYPE
from graders.engines.results import RaceEntry, RaceResults, Result, read

FOLDER = Path("graders", "throughput", "races")
"""Below the project's root: one file a race, named by what was raced."""
BLOCK = re.compile(r"<!-- race (?P<name>\S+): [^>]*-->\n.*?<!-- end of race -->", re.DOTALL)


def name(workload: str, model: str, dtype: str = DTYPE) -> str:
    """How the race of a workload on a model is called; races of one name replace each other."""
    return f"{workload}-{model}{'' if dtype == DTYPE else f'-{dtype}'}"


def path(called: str) -> Path:
    """Where a race of that name is stored, below the project's root."""
    return FOLDER / f"{called}.json"


def fill(text: str, root: Path) -> str:
    """`text` with the table of its stored race in every block that names one.

    Raises ValueError for a file that is no race.
    """
    return BLOCK.sub(
        lambda found: (
            f"{_opening(found['name'])}\n{_block(root, found['name'])}\n<!-- end of race -->"
        ),
        text,
    )


def _opening(called: str) -> str:
    return f"<!-- race {called}: written by `course generate` from {path(called).as_posix()} -->"


def _block(root: Path, called: str) -> str:
    stored = root / path(called)
    if not stored.is_file():
        return "Not raced yet."
    try:
        return markdown(read(stored.read_text(encoding="utf-8")))
    except (ValueError, OSError) as error:
        raise ValueError(f"{stored} holds no race: {error}") from None


def markdown(race: RaceResults) -> str:
    """What was raced and where, a line an engine, and what keeps the figures from being taken at
    their word."""
    entrants = {entrant.engine: entrant for entrant in race.entrants}
    results = race.of("whole")
    rows = [_row(result, results[0], entrants[result.engine]) for result in results]
    head = [
        "| engine | output tokens/s | ratio (range) | TTFT, median | TPOT, median |",
        "|---|---:|---:|---:|---:|",
    ]
    doubtful = [f"*{doubt}*" for doubt in doubts(race)]
    return "\n".join([_told(race), "", *head, *rows, *(["", *doubtful] if doubtful else [])])


def _told(race: RaceResults) -> str:
    course = race.course
    loaded = sorted(
        {
            f"{each.parameters:,} parameters in {each.dtype}"
            for each in race.entrants
            if each.parameters
        }
    )
    caches = (
        "prefix caches on, flushed between rounds" if course.prefix_cache else "no prefix caches"
    )
    return (
        f"`{course.workload}` on `{course.model}`, {' or '.join(loaded)}: {count(course.requests, 'request')}, greedy, "
        f"{course.kv_tokens:,} tokens of KV, {caches}, {count(course.rounds, 'round')}, interleaved, all tokens "
        f"checked; {course.machine}, {count(course.threads, 'thread')} an engine, load {course.busy:g} a core at "
        f"the start, {course.date}."
    )


def _row(result: Result, measure: Result, entrant: RaceEntry) -> str:
    ratios = result.ratios(measure)
    range_ = f"{median(ratios):.2f}" + (
        f" ({min(ratios):.2f}–{max(ratios):.2f})" if result is not measure else ""
    )
    told = ", ".join(_words(entrant))
    pace = f"{1e3 * result.tpot[0]:.1f} ms" if result.tpot else ""
    return f"| {told} | {result.rate:,.0f} | {range_} | {result.ttft[0]:.2f} s | {pace} |"


def _words(entrant: RaceEntry) -> Iterator[str]:
    """The engine, its version, and what has to be said beside its figures."""
    yield f"{entrant.what}{f' {entrant.version}' if entrant.version and entrant.version[0].isdigit() else ''}"
    if entrant.quickest:
        yield f"in {entrant.quickest}"
    if entrant.note:
        yield entrant.note
