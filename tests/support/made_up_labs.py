"""Finished labs with made-up measurements, in which every popular claim meets a known fate."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from graders.engines.results import RaceEntry, RaceResults, RaceSample, RaceSetup, Result
from graders.experiments.lab_names import LABS, SIDES
from graders.experiments.results import Finished, LabResults, LabSetup, Measurement
from graders.throughput.hardware import Hardware

MACHINE = Hardware("cpu", "a made-up processor", 2, ("avx2",))
SIZES = {
    "vocab": 64,
    "width": 16,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_width": 4,
    "inner": 32,
    "tied": 0,
}
Rates = Mapping[str, Mapping[int, float]]
"""Tokens a second of an engine at a batch; at 0: of the whole workload, and of prompts alone."""


def setup(lab: int, **fields: object) -> LabSetup:
    """Of a quick lab on a made-up machine."""
    usual = LabSetup(
        lab,
        quick=True,
        models=dict.fromkeys(LABS[lab].models, SIZES),
        engines=(),
        threads=2,
        seed=0,
        hardware=MACHINE,
        versions={"torch": "2"},
        date="2026-11-29T00:00:00+00:00",
    )
    return replace(usual, **fields)  # type: ignore[arg-type]


def lab(
    number: int, points: Iterable[Measurement], races: Mapping[str, RaceResults] | None = None
) -> LabResults:
    """A finished lab: one task for all points, one for each race."""
    finished = {"all": Finished(tuple(points))} | {
        key: Finished(race=race) for key, race in (races or {}).items()
    }
    return LabResults(setup(number), tuple(finished), finished)


def lab1(race: RaceResults | None = None, *, cores: float = 2.0) -> LabResults:
    """Reads 10,000 tokens a second and writes 500 alone, in no time less than the floor."""
    model = LABS[1].models[0]
    work = {"operations": 1e6, "moved": 1e6, "context": 130.0}
    points = [
        *(
            Measurement("prefill", model, float(x), (x / 9e3, x / 1e4, x / 1.1e4), work, cores)
            for x in (64, 256)
        ),
        *(
            Measurement("decode", model, float(x), (0.0021, 0.002, 0.0019), work, cores)
            for x in (1, 16)
        ),
        Measurement("ceilings", model, 0.0, facts={"peak": 1e10, "bandwidth": 1e9}),
        Measurement("memory", "reference", 0.0, (2.0**28,)),
    ]
    return lab(1, points, {"engines": race} if race else None)


def lab3(effects: tuple[float, ...] = (8.0, 4.0, 3.0, 2.0), wasted: float = 0.17) -> LabResults:
    """Seconds of the four sides, and the share that blocks of 16 waste with short requests."""
    facts = {"tokens": 100.0, "held": 4.0, "steps": 10.0, "wasted": 0.1}
    points = [
        *(
            Measurement("effects", side, float(n), (effects[n],) * 3, facts, 2.0)
            for n, side in enumerate(SIDES)
        ),
        *(Measurement("timeline", side, float(n), (1.0, 2.0, 1.0)) for n, side in enumerate(SIDES)),
        *(
            Measurement(
                "pages", "8 to 64 tokens", float(x), (9.0,), {"held": 9.0, "wasted": wasted}
            )
            for x in (1, 16)
        ),
        *(Measurement("chunk, first token", "newcomer", float(x), (0.1,)) for x in (32, 64)),
        *(Measurement("chunk, next token", "the others", float(x), (0.01,)) for x in (32, 64)),
        *(
            Measurement("arrivals", "", x, (0.01,), {"rate": 9.0, "in flight": 0.1})
            for x in (0.2, 1.0)
        ),
    ]
    return lab(3, points)


def lab4(
    gains: Iterable[tuple[int, float]] = ((1, 2.4), (16, 1.5), (64, 0.7)), *, spread: float = 0.0
) -> LabResults:
    """Medusa at so many times plain decoding, three tokens a pass; spread: what one round is off
    by."""
    points = [
        Measurement("heads", series, head, (right,))
        for series, shares in {"t+1+k": (0.8, 0.7), "t+1": (0.0, 0.0)}.items()
        for head, right in enumerate(shares, 1)
    ]
    points += [
        Measurement("tokens a pass", each, float(x), (1.5,))
        for each in ("chain", "tree")
        for x in (2, 3)
    ]
    for model in LABS[4].models:
        for batch, gain in gains:
            plain, clever = (
                (100.0, 100.0, 100.0),
                tuple(100 * (gain + off) for off in (-spread, 0.0, spread)),
            )
            points.append(
                Measurement(
                    f"speed:{model}", "plain", float(batch), plain, {"tokens a pass": 1.0}, 2.0
                )
            )
            points.append(
                Measurement(
                    f"speed:{model}", "medusa", float(batch), clever, {"tokens a pass": 3.0}, 2.0
                )
            )
    return lab(4, points)


def race(rates: Rates, *, out: Mapping[str, str] | None = None, cpu: float = 2.0) -> RaceResults:
    """Three rounds of engines with these rates. out: engines without figures, and why. cpu: cores
    in use."""
    course = RaceSetup(
        *("ragged", "waiter", 0, 1.0, 3, "cpu", "made up", 2, "float32", 4096, 64, True, False, 64),
        *(1e9, 1e9, "2026-11-29", 0.1),
    )
    entrants = [RaceEntry(name, name, "1.0", {}, started=3.0) for name in rates]
    entrants += [
        RaceEntry(name, name, failure="died", sentence=why) for name, why in (out or {}).items()
    ]
    results = [
        Result(name, scenario, batch, tuple(_lap(number, rate, cpu) for number in range(3)))
        for name, batches in rates.items()
        for batch, rate in batches.items()
        for scenario in (("whole", "prefill") if not batch else ("decode",))
    ]
    return RaceResults(course, tuple(entrants), tuple(results))


def _lap(number: int, rate: float, cpu: float) -> RaceSample:
    seconds = 1000 / rate
    return RaceSample(
        number, 0, "t", seconds, cpu * seconds, 5000, 1000, (0.1, 0.2), (0.01, 0.02), seconds / 2
    )
