"""The figure of each lab: what was measured, and beside it what was predicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from typing import Any

from course.drawings.panels import Curve, Figure, Panel
from course.labs.formulas import Formulas, shape
from graders.engines.results import RaceResults
from graders.experiments.drawn_requests import BLOCK_SIZE, POOL, lengths, menu_prompts
from graders.experiments.lab_names import LABS, SIDES
from graders.experiments.readings import break_even, ceilings, floor, speed_ups
from graders.experiments.results import LabResults, Measurement

WIDTH = 4
"""Bytes of a number: everything is measured in fp32."""
Points = tuple[tuple[float, float], ...]


def figure(results: LabResults, formulas: Formulas) -> Figure:
    """All panels of a lab. Where nothing was measured the panel says so."""
    setup = results.setup
    panels = {1: _lab1, 2: _lab2, 3: _lab3, 4: _lab4}[setup.lab](results, formulas)
    threads = f"{setup.threads} thread{'s' * (setup.threads != 1)}"
    under = f"{setup.hardware} · {threads} · {', '.join(setup.models)} · {setup.date[:10]}"
    return Figure(
        f"Lab {setup.lab}: {LABS[setup.lab].title}{' (quick)' * setup.quick}",
        under,
        tuple(panels),
        f"Dots and bars are medians. {f'Dashed: {formulas.source}' if formulas.module else formulas.source}.",
    )


# ---------------------------------------------------------------- labs


def _lab1(results: LabResults, formulas: Formulas) -> Iterator[Panel]:
    reading, writing = list[Curve](), list[Curve]()
    for model in results.setup.models:
        points = results.of("prefill", model)
        reading.append(Curve(model, tuple((point.x, point.x / point.value) for point in points)))
        reading += _floors(results, points, formulas, "roof", lambda x, seconds: x / seconds)
        points = results.of("decode", model)
        writing.append(Curve(model, tuple((point.x, 1e3 * point.value) for point in points)))
        writing += _floors(results, points, formulas, "floor", lambda _, seconds: 1e3 * seconds)
    yield Panel(
        "Reading", "tokens of the prompt", "tokens/s", tuple(reading), log_x=True, log_y=True
    )
    yield Panel(
        "Writing",
        "requests that decode together",
        "ms a step",
        tuple(writing),
        log_x=True,
        log_y=True,
    )
    race = results.race("engines")
    if race is not None:
        yield from _engines(race)
        yield _bars(
            "Memory at most",
            "MiB",
            [(each.series, each.value / 2**20) for each in results.of("memory")],
        )
        started = [(one.engine, one.started) for one in race.entrants if not one.failure]
        yield _bars("Start", "s", started)


def _lab2(results: LabResults, formulas: Formulas) -> Iterator[Panel]:
    waits = [
        Curve(side, tuple((point.x, 1e3 * point.value) for point in results.of("ttft", side)))
        for side in results.series("ttft")
    ]
    yield Panel("Time to first token", "tokens shared with the prompt before", "ms", tuple(waits))
    shares = results.of("hit rate")
    counted = [Curve("counted", tuple((point.x, point.value) for point in shares))]
    if shares:
        asked = menu_prompts(results.setup.seed)
        counted.append(
            _predicted(formulas, shares, lambda x: formulas("hit_rate", asked, BLOCK_SIZE, int(x)))
        )
    yield Panel(
        "Hit rate", "blocks that the cache may store", "share of prompt tokens", tuple(counted)
    )
    printed = results.of("photocopier")
    yield _bars(
        "100 contracts, 50 common pages",
        "pages",
        [(each.series, each.facts["computed"]) for each in printed],
    )
    yield _bars("The same in time", "ms", [(each.series, 1e3 * each.value) for each in printed])
    for key in ("engines, cache on", "engines, cache off"):
        race = results.race(key)
        if race is not None:
            rates = [(each.engine, each.rate) for each in race.of("whole")]
            yield _bars(f"Shared menu: {key}", "output tokens/s", rates)


def _lab3(results: LabResults, formulas: Formulas) -> Iterator[Panel]:
    rates = [(each.series, each.facts["tokens"] / each.value) for each in results.of("effects")]
    yield _bars("Same requests, same memory", "output tokens/s", rates)
    steps = [
        Curve(side, tuple(_thinned(results.of("timeline", side))), dots=False)
        for side in SIDES[1:]
        if results.of("timeline", side)
    ]
    yield Panel("Who computes", "step", "requests", tuple(steps))
    yield Panel(
        "Held at once",
        "tokens of a block",
        "requests",
        tuple(_held(results, formulas)),
        log_x=True,
        log_y=True,
    )
    pair = {
        "to the newcomer's first token": "chunk, first token",
        "the others' longest wait": "chunk, next token",
    }
    waits = [
        Curve(name, tuple((point.x, 1e3 * point.value) for point in results.of(experiment)))
        for name, experiment in pair.items()
    ]
    yield Panel(
        "A long prompt joins 8 who decode",
        "tokens of a chunk",
        "ms",
        tuple(waits),
        log_x=True,
        log_y=True,
    )
    arriving = results.of("arrivals")
    latency = Curve("latency", tuple((point.x, 1e3 * point.value) for point in arriving))
    yield Panel("Latency", "arrival rate over the most that can leave", "ms", (latency,))
    here = Curve("seen", tuple((point.x, point.facts["in flight"]) for point in arriving))
    little = _predicted(
        formulas,
        arriving,
        lambda x: next(
            formulas("requests_in_flight", point.facts["rate"], point.value)
            for point in arriving
            if point.x == x
        ),
    )
    yield Panel(
        "In flight", "arrival rate over the most that can leave", "requests", (here, little)
    )
    race = results.race("engines")
    if race is not None:
        waits_of = [(each.engine, 1e3 * each.ttft[0]) for each in race.of("whole")]
        yield _bars("Engines: time to first token", "ms, median", waits_of)


def _lab4(results: LabResults, formulas: Formulas) -> Iterator[Panel]:
    titles = {"t+1+k": "head k names token t+1+k", "t+1": "it names t+1"}
    right = [
        Curve(title, tuple((point.x - 1, point.value) for point in results.of("heads", series)))
        for series, title in titles.items()
    ]
    names = tuple(f"head {point.x:.0f}" for point in results.of("heads", "t+1+k"))
    yield Panel("How often a head is right", "", "share of places", tuple(right), names=names)
    chain = results.of("tokens a pass", "chain")
    first = results.at("heads", "t+1+k", 1.0)
    counted = Curve("counted", tuple((point.x, point.value) for point in chain))
    alike = _predicted(
        formulas,
        chain,
        lambda x: formulas("tokens_a_pass_chain", first.value, int(x)) if first else None,
    )
    yield Panel("A chain of best guesses", "heads used", "tokens a pass", (counted, alike))
    tree = results.of("tokens a pass", "tree")
    counted = Curve("counted", tuple((point.x, point.value) for point in tree))
    stored = _predicted(formulas, tree, lambda x: _of_tree(formulas, int(x)))
    grown = Curve(
        "EAGLE's, grown",
        tuple((point.x, point.value) for point in results.of("tokens a pass", "eagle")),
    )
    yield Panel(
        "The likeliest tree", "nodes", "tokens a pass", (counted, stored, grown), log_x=True
    )
    curves, marks = list[Curve](), list[tuple[float, str]]()
    for model in results.setup.models:
        for drafter, points in speed_ups(results, model).items():
            curves.append(Curve(f"{drafter}, {model}", points))
            even = break_even(points)
            marks += [(even, f"even at {even:.0f}")] if even else []
    batches = sorted({x for curve in curves for x, _ in curve.points})
    plain = Curve("plain", tuple((x, 1.0) for x in batches), dots=False)
    title = "Times as fast as plain decoding"
    yield Panel(
        title, "requests that decode together", "", (*curves, plain), log_x=True, marks=tuple(marks)
    )


# ---------------------------------------------------------------- pieces


def _floors(
    results: LabResults,
    points: Sequence[Measurement],
    formulas: Formulas,
    name: str,
    told: Callable[[float, float], float],
) -> Iterator[Curve]:
    """The floor as this machine's roofline has it, and as the formulas have it."""
    least = [(point.x, floor(results, point)) for point in points]
    yield Curve(
        f"{name} of this machine",
        tuple((x, told(x, seconds)) for x, seconds in least if seconds),
        dots=False,
    )
    predicted = [(point.x, _floor_by(results, point, formulas)) for point in points]
    yield Curve(
        formulas.source, tuple((x, told(x, each)) for x, each in predicted if each), "formula"
    )


def _floor_by(results: LabResults, point: Measurement, formulas: Formulas) -> float | None:
    """Seconds that a point takes at least, by the formulas of lab 1."""
    over, sizes = ceilings(results, point.series), shape(results.setup.models[point.series])
    if over is None:
        return None
    if point.experiment == "prefill":
        operations, moved = (
            formulas("operations", sizes, int(point.x), 0),
            formulas("decode_bytes", sizes, [0], WIDTH),
        )
    else:
        context, batch = int(point.facts["context"]), int(point.x)
        each = formulas("operations", sizes, 1, context)
        operations = None if each is None else batch * each
        moved = formulas("decode_bytes", sizes, [context] * batch, WIDTH)
    if operations is None or moved is None:
        return None
    seconds = formulas("floor_seconds", operations, moved, over.peak, over.bandwidth)
    return None if seconds is None else float(seconds)


def _held(results: LabResults, formulas: Formulas) -> Iterator[Curve]:
    for mix in results.series("pages"):
        points = results.of("pages", mix)
        yield Curve(mix, tuple((point.x, point.value) for point in points))
    for mix in results.series("pages"):
        yield _predicted(
            formulas, results.of("pages", mix), partial(_fitting, formulas, mix, results.setup.seed)
        )


def _fitting(formulas: Formulas, mix: str, seed: int, block_size: float) -> Any:
    return formulas("held_paged", lengths(mix, seed), int(block_size), 1 + POOL // int(block_size))


def _of_tree(formulas: Formulas, nodes: int) -> float | None:
    """Tokens a pass by the shares that are stored beside the heads."""
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.tree_search import read_tree

    tree = read_tree(HEADS).pruned(nodes)
    chances = {(): 1.0, **dict(zip(tree.choices, tree.chances, strict=True))}
    share = {
        path: chance / chances[path[:-1]]
        for path, chance in chances.items()
        if path and chances[path[:-1]]
    }
    told = formulas("tokens_a_pass_tree", tree.choices, share)
    return None if told is None else float(told)


def _predicted(
    formulas: Formulas, points: Sequence[Measurement], at: Callable[[float], Any]
) -> Curve:
    told = ((point.x, at(point.x)) for point in points)
    return Curve(formulas.source, tuple((x, float(y)) for x, y in told if y is not None), "formula")


def _thinned(points: Sequence[Measurement], most: int = 240) -> Iterator[tuple[float, float]]:
    """(step, requests) of a run, of a long one some steps only."""
    every = points[0].samples
    stride = max(1, len(every) // most)
    return ((float(step), every[step]) for step in range(0, len(every), stride))


def _engines(race: RaceResults) -> Iterator[Panel]:
    """Decoding over the batch, and prompts alone."""
    rates: dict[str, list[tuple[float, float]]] = {}
    for scenario, batch in race.scenarios():
        for result in race.of(scenario, batch) if scenario == "decode" else ():
            rates.setdefault(result.engine, []).append((float(batch), result.rate))
    curves = tuple(Curve(name, tuple(points)) for name, points in rates.items())
    yield Panel(
        "Engines, writing",
        "requests that decode together",
        "tokens/s",
        curves,
        log_x=True,
        log_y=True,
    )
    yield _bars(
        "Engines, reading", "tokens/s", [(each.engine, each.reading) for each in race.of("prefill")]
    )


def _bars(title: str, unit: str, rows: Iterable[tuple[str, float]]) -> Panel:
    every = list(rows)
    bars = Curve(unit, tuple((float(place), value) for place, (_, value) in enumerate(every)))
    return Panel(title, "", unit, (bars,), names=tuple(name for name, _ in every))
