"""What a token costs, over the size of the model, the batch, the context and the prompt, beside the
floor.

Made of races of one machine; where an engine's cost leaves the floor is where it bends away.
Imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import median

from course.drawings.panels import Curve, Figure, Panel
from graders.engines.results import RaceResults, Result

FLOOR = "floor"


@dataclass(frozen=True, slots=True)
class Cost:
    """What an engine took for one unit, and the least that it can take, in the panel's unit."""

    engine: str
    model: str
    x: float
    taken: float
    floor: float

    @property
    def times(self) -> float:
        """So many floors."""
        return self.taken / self.floor if self.floor else float("inf")


@dataclass(frozen=True, slots=True)
class CostsOver:
    """The costs over one thing, from left to right."""

    title: str
    x: str
    unit: str
    costs: tuple[Cost, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Of the series: engines, with their models where there are several at one x."""
        return tuple(dict.fromkeys(self.name(cost) for cost in self.costs))

    def name(self, cost: Cost) -> str:
        """The series that a cost belongs to."""
        by_size = self.x == SIZE
        return (
            cost.engine
            if by_size or len({each.model for each in self.costs}) == 1
            else f"{cost.engine}, {cost.model}"
        )


SIZE = "parameters"


def costs(races: Sequence[RaceResults]) -> tuple[CostsOver, ...]:
    """Of races on one machine, in one dtype and with as many threads. Raises ValueError where they
    are not, or tell nothing of costs."""
    setups = [race.course for race in races]
    for what, values in (
        ("machine", {setup.machine for setup in setups}),
        ("dtype", {setup.dtype for setup in setups}),
        ("number of threads", {str(setup.threads) for setup in setups}),
    ):
        if len(values) > 1:
            raise ValueError(
                f"these races are of more than one {what}: {', '.join(sorted(values))}"
            )
    found = tuple(over for over in (_size(races), *_over(races)) if over.costs)
    if not found:
        raise ValueError("these races timed nothing alone: race with --lengths, or with a --sweep")
    return found


def figure(races: Sequence[RaceResults]) -> Figure:
    """All panels. The floor is the first engine's: others store weights in other formats, and have
    others."""
    setup, found = races[0].course, costs(races)
    models = ", ".join(dict.fromkeys(race.course.model for race in races))
    threads = f"{setup.threads} thread{'s' * (setup.threads != 1)}"
    return Figure(
        "What a token costs",
        f"{setup.machine} · {threads} · {setup.dtype} · {models} · {setup.date}",
        tuple(
            Panel(over.title, over.x, over.unit, _curves(over), log_x=True, log_y=True)
            for over in found
        ),
        f"Medians of rounds. Dashed: the least that memory and arithmetic, as measured, allow {races[0].measure}.",
    )


def _curves(over: CostsOver) -> tuple[Curve, ...]:
    curves = list[Curve]()
    for name in over.names:
        own = [cost for cost in over.costs if over.name(cost) == name]
        curves.append(Curve(name, tuple((cost.x, cost.taken) for cost in own)))
    first = [cost for cost in over.costs if over.name(cost) == over.names[0]]
    return (*curves, Curve(FLOOR, tuple((cost.x, cost.floor) for cost in first), "formula"))


def _size(races: Sequence[RaceResults]) -> CostsOver:
    """Decoding one request at a time, a point a race: at batch 1, else after the shortest prompt."""
    points = list[Cost]()
    for race in races:
        alone = race.of("decode", 1) or next(
            (race.of(*each) for each in race.scenarios() if each[0] == "context"), ()
        )
        sizes = {entrant.engine: entrant.parameters for entrant in race.entrants}
        points += [_cost(race, each, sizes.get(each.engine, 0), 1e3, _said) for each in alone]
    points = [point for point in points if point.x]
    several = len({point.x for point in points}) > 1
    return CostsOver(
        "Over size: a request alone", SIZE, "ms a token", _ordered(points) if several else ()
    )


def _over(races: Sequence[RaceResults]) -> Iterator[CostsOver]:
    for title, x, unit, scenario, scale, counted in (
        ("Over batch: a step", "requests that decode together", "ms a step", "decode", 1e3, _steps),
        ("Over context: a request alone", "tokens before", "ms a token", "context", 1e3, _said),
        ("Over the prompt: reading it", "tokens of the prompt", "µs a token", "prompt", 1e6, _read),
    ):
        points = [
            _cost(race, result, result.batch, scale, counted)
            for race in races
            for result in race.results
            if result.scenario == scenario
        ]
        yield CostsOver(title, x, unit, _ordered(points))


def _ordered(points: Sequence[Cost]) -> tuple[Cost, ...]:
    """By x; engines stay in their order."""
    return tuple(sorted(points, key=lambda point: point.x))


def _cost(
    race: RaceResults, result: Result, x: float, scale: float, counted: Callable[[Result], float]
) -> Cost:
    units = counted(result)
    taken = median(lap.seconds for lap in result.laps) / units
    floor = median(lap.floor for lap in result.laps) / units
    return Cost(result.engine, race.course.model, float(x), scale * taken, scale * floor)


def _said(result: Result) -> float:
    return median(lap.tokens_out for lap in result.laps)


def _read(result: Result) -> float:
    return median(lap.tokens_in for lap in result.laps)


def _steps(result: Result) -> float:
    """Of requests that begin and end together."""
    return _said(result) / result.batch
