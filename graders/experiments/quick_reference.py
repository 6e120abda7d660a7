"""The engines in one table: every figure measured here, or from a card that counts here, or none.
Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from statistics import median

from graders.engines.results import RaceResults, Result
from graders.experiments.results import LabResults
from graders.throughput.baselines import BaselineCard

NOT_MEASURED = "not measured here"
WORKLOAD = "ragged"
"""Of the cards that are looked at."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure, and where it is from; None: it was not measured here."""

    value: float | None = None
    source: str = ""


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What is known of an engine without measuring. guesses: the speculation that it offers, by its
    documentation."""

    name: str
    what: str
    good_for: str
    guesses: str


ENGINES = (
    EngineFacts("reference", "ours, with the solutions", "seeing how it works", "Medusa heads"),
    EngineFacts("vllm", "vLLM", "many users", "draft models, n-grams, Medusa, EAGLE"),
    EngineFacts("sglang", "SGLang", "shared prompts", "draft models, n-grams, EAGLE"),
    EngineFacts(
        "tensorrt-llm",
        "TensorRT-LLM",
        "most speed on NVIDIA",
        "draft models, n-grams, Medusa, EAGLE",
    ),
    EngineFacts("llama.cpp", "llama.cpp", "CPUs and small devices", "draft models, n-grams"),
    EngineFacts("ollama", "Ollama", "easy setup", "none of its own"),
)
COLUMNS = {
    "reading": ("prefill", "tok/s"),
    "alone": ("decode alone", "tok/s"),
    "at 16": ("decode at 16", "tok/s"),
    "at 64": ("decode at 64", "tok/s"),
    "beside ours": ("times ours", "x"),
    "shared": ("cache gain", "x"),
    "start": ("start", "s"),
    "memory": ("memory", "MiB"),
}
"""Heading and unit of every figure. beside ours: of mixed requests. shared: of a prefix cache, on a shared menu."""


@dataclass(frozen=True, slots=True)
class Row:
    """One engine. why: what kept it out, where somebody said so."""

    engine: EngineFacts
    version: str
    cells: Mapping[str, Cell]
    why: str = ""


@dataclass(frozen=True, slots=True)
class Advice:
    """For one purpose: the popular engine, and the one that the figures support; "" when they
    support none. compared: those that have the figure.
    """

    purpose: str
    popular: str
    supported: str
    because: str
    compared: tuple[str, ...] = ()

    @property
    def differs(self) -> bool:
        """The figures speak for another engine than the popular one, which has some too."""
        return self.popular in self.compared and self.supported != self.popular


PURPOSES = (
    ("just learning", "ollama", "start", min, "starts soonest"),
    ("many users", "vllm", "at 64", max, "writes most for 64 at once"),
    ("shared prompts", "sglang", "menu", max, "serves a shared menu fastest"),
    ("maximum speed", "tensorrt-llm", "alone", max, "writes fastest for one request"),
    ("a CPU", "llama.cpp", "alone", max, "writes fastest for one request, on this CPU"),
)
"""Purpose, popular engine, the figure that decides, whether more or less of it is better, in words."""


def rows(labs: Mapping[int, LabResults], cards: Iterable[BaselineCard]) -> tuple[Row, ...]:
    """One an engine. labs: finished ones that count here. cards: those that count here."""
    every = list(cards)
    return tuple(_row(engine, labs, every) for engine in ENGINES)


def _row(engine: EngineFacts, labs: Mapping[int, LabResults], cards: list[BaselineCard]) -> Row:
    first, name = labs.get(1), engine.name
    race = first.race("engines") if first else None
    entrant = next((each for each in race.entrants if each.engine == name), None) if race else None
    card = next((each for each in cards if each.engine == name and each.workload == WORKLOAD), None)
    told = _told(first)
    cells = {
        "reading": _of(race, name, "prefill", 0, told, lambda result: result.reading),
        "alone": _of(race, name, "decode", 1, told, lambda result: result.rate),
        "at 16": _of(race, name, "decode", 16, told, lambda result: result.rate),
        "at 64": _of(race, name, "decode", 64, told, lambda result: result.rate),
        "beside ours": _beside(race, name, told, card),
        "shared": _shared(labs.get(2), name),
        "start": Cell(entrant.started, told) if entrant and not entrant.failure else Cell(),
        "memory": _memory(first, name, told),
        "menu": _menu(labs.get(2), name),
    }
    version = entrant.version if entrant and entrant.version else card.version if card else ""
    return Row(engine, version, cells, entrant.sentence if entrant else "")


def _told(results: LabResults | None) -> str:
    if results is None:
        return ""
    return f"lab {results.setup.lab}{', quick' * results.setup.quick}, {results.setup.date[:10]}"


def _of(
    race: RaceResults | None,
    name: str,
    scenario: str,
    batch: int,
    told: str,
    read: Callable[[Result], float],
) -> Cell:
    result = race.result(name, scenario, batch) if race else None
    starved = race is not None and result in race.starved
    return Cell() if result is None or starved else Cell(read(result), told)


def _beside(race: RaceResults | None, name: str, told: str, card: BaselineCard | None) -> Cell:
    own, ours = (race.result(each, "whole") if race else None for each in (name, "reference"))
    if own and ours and race and not race.starved:
        return Cell(median(own.ratios(ours)), told)
    return Cell(1 / card.slowness, f"card of {card.date}") if card else Cell()


def _shared(results: LabResults | None, name: str) -> Cell:
    races = [results.race(f"engines, cache {side}") if results else None for side in ("on", "off")]
    on, off = (race.result(name, "whole") if race and not race.starved else None for race in races)
    if on and off:
        return Cell(on.rate / off.rate, _told(results))
    if name == "reference" and results:
        points = [results.at("photocopier", side, 0.0) for side in ("cache off", "cache on")]
        before, after = points
        if before and after and not (before.starved or after.starved):
            return Cell(before.value / after.value, f"{_told(results)}, 100 contracts")
    return Cell()


def _menu(results: LabResults | None, name: str) -> Cell:
    race = results.race("engines, cache on") if results else None
    return _of(race, name, "whole", 0, _told(results), lambda result: result.rate)


def _memory(results: LabResults | None, name: str, told: str) -> Cell:
    point = results.at("memory", name, 0.0) if results else None
    return Cell(point.value / 2**20, told) if point and point.value else Cell()


def guide(table: Iterable[Row]) -> tuple[Advice, ...]:
    """For every purpose what the figures say, if two engines at least have them."""
    every = list(table)
    found = []
    for purpose, popular, figure, best, words in PURPOSES:
        values = {
            row.engine.name: value
            for row in every
            if (value := row.cells[figure].value) is not None
        }
        if len(values) < 2:
            found.append(
                Advice(
                    purpose, popular, "", f"fewer than two engines have the figure: {NOT_MEASURED}"
                )
            )
            continue
        name = best(values, key=values.__getitem__)
        because = f"{name} {words}, of {', '.join(values)}"
        found.append(Advice(purpose, popular, name, because, tuple(values)))
    return tuple(found)
