"""What a race found, as frozen records that can be written as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

import msgspec

from reference_engine.roofline import RaisedCeiling

FORMAT = 1
ENOUGH = 0.8
"""Of a processor, which an engine that has work uses alone at least."""
BUSY = 0.5
"""Runnable processes a core when a race begins, above which its ratios are doubted."""


@dataclass(frozen=True, slots=True)
class RaceSample:
    """One engine on one trace. cpu: seconds of processors that it used. ttft, tpot: seconds,
    (median, 95th percentile). floor: seconds that the trace takes at least.

    trace: the hash of the trace; place: in which turn of its round the engine ran.
    """

    round: int
    place: int
    trace: str
    seconds: float
    cpu: float
    tokens_in: int
    tokens_out: int
    ttft: tuple[float, float]
    tpot: tuple[float, float] | None
    floor: float

    @property
    def rate(self) -> float:
        """Output tokens a second."""
        return self.tokens_out / self.seconds

    @property
    def reading(self) -> float:
        """Prompt tokens a second."""
        return self.tokens_in / self.seconds

    @property
    def roofline(self) -> float:
        """The floor over what it took: 1 would be as fast as the machine can."""
        return min(1.0, self.floor / self.seconds)


@dataclass(frozen=True, slots=True)
class Result:
    """One engine in one scenario: its laps, all counted and all with the right tokens."""

    engine: str
    scenario: str
    batch: int
    laps: tuple[RaceSample, ...]

    @property
    def rate(self) -> float:
        """Output tokens a second, the median lap's."""
        return median(lap.rate for lap in self.laps)

    @property
    def reading(self) -> float:
        """Prompt tokens a second, the median lap's."""
        return median(lap.reading for lap in self.laps)

    @property
    def roofline(self) -> float:
        """Fraction of the roofline, the median lap's."""
        return median(lap.roofline for lap in self.laps)

    @property
    def thrift(self) -> float:
        """Output tokens a processor second, the median lap's; 0 where that cannot be known."""
        return median(lap.tokens_out / lap.cpu if lap.cpu else 0.0 for lap in self.laps)

    @property
    def cores(self) -> float:
        """Processors in use on average, the median lap's: less than the threads means that others
        had them."""
        return median(lap.cpu / lap.seconds for lap in self.laps)

    @property
    def spread(self) -> tuple[float, float]:
        """Output tokens a second of the slowest and the fastest lap."""
        return min(lap.rate for lap in self.laps), max(lap.rate for lap in self.laps)

    @property
    def ttft(self) -> tuple[float, float]:
        """Seconds, (median, 95th percentile) of the requests; medians over the laps."""
        return median(lap.ttft[0] for lap in self.laps), median(lap.ttft[1] for lap in self.laps)

    @property
    def tpot(self) -> tuple[float, float] | None:
        """Seconds, as `ttft`; None where nobody was given a second token."""
        pairs = [lap.tpot for lap in self.laps if lap.tpot]
        return (
            (median(pair[0] for pair in pairs), median(pair[1] for pair in pairs))
            if pairs
            else None
        )

    def ratios(self, other: Result) -> tuple[float, ...]:
        """This engine's rate over the other's, round by round."""
        rounds = {lap.round: lap.rate for lap in other.laps}
        return tuple(lap.rate / rounds[lap.round] for lap in self.laps if lap.round in rounds)


@dataclass(frozen=True, slots=True)
class RaceEntry:
    """One engine of the race. failure, sentence: why it is not in it, or left it; "" when it ran to
    the end.

    note: what has to be said beside its figures. started: seconds that its start took. weights,
    parameters, dtype: what it proved to have loaded (`loaded.Loaded`); the same for all that have
    figures, but where each has its quickest: tried, what that was chosen from, with the seconds of
    a lap in each. memory: bytes that its processes held at most, all together; least: of its
    weights and KV alone. 0: unknown.
    """

    engine: str
    what: str
    version: str = ""
    flags: Mapping[str, Any] | None = None
    note: str = ""
    started: float = 0.0
    failure: str = ""
    sentence: str = ""
    weights: str = ""
    parameters: int = 0
    dtype: str = ""
    tried: Mapping[str, float] = field(default_factory=dict)
    memory: int = 0
    least: int = 0

    @property
    def quickest(self) -> str:
        """Of what was tried; "" where nothing else was."""
        return min(self.tried, key=lambda way: self.tried[way], default="")


@dataclass(frozen=True, slots=True)
class RaceSetup:
    """What was raced on, and where.

    arriving: requests come one by one. bandwidth, peak: ceilings in this run, bytes and operations
    a second, as they were measured, or higher: raised says which of them are what an engine did.
    """

    workload: str
    model: str
    seed: int
    scale: float
    rounds: int
    device: str
    machine: str
    threads: int
    dtype: str
    kv_tokens: int
    max_seqs: int
    prefix_cache: bool
    arriving: bool
    requests: int
    bandwidth: float
    peak: float
    date: str
    busy: float
    """Load of the machine by others when the race began: runnable processes a core."""
    raised: tuple[RaisedCeiling, ...] = ()

    @property
    def loaded(self) -> bool:
        """Others had so much of the machine when the race began that ratios may be off."""
        return self.busy > BUSY


@dataclass(frozen=True, slots=True)
class RaceResults:
    """The whole race. results: by scenario, within one in the order of the entrants, the first
    being the measure.

    interrupted: fewer rounds were run than asked for; `course.rounds` counts those that all engines
    finished.
    """

    course: RaceSetup
    entrants: tuple[RaceEntry, ...]
    results: tuple[Result, ...]
    interrupted: bool = False

    def scenarios(self) -> tuple[tuple[str, int], ...]:
        """Every scenario with a result, in the order raced."""
        return tuple(dict.fromkeys((result.scenario, result.batch) for result in self.results))

    def of(self, scenario: str, batch: int = 0) -> tuple[Result, ...]:
        """The results of one scenario."""
        return tuple(
            result
            for result in self.results
            if (result.scenario, result.batch) == (scenario, batch)
        )

    def result(self, engine: str, scenario: str, batch: int = 0) -> Result | None:
        """One engine's result in one scenario."""
        return next((each for each in self.of(scenario, batch) if each.engine == engine), None)

    @property
    def starved(self) -> tuple[Result, ...]:
        """Results on a CPU in which an engine that had work all the time got less than `ENOUGH` of
        one processor.

        Others had the machine; then only what a processor second yields can be compared.
        """
        if self.course.device != "cpu" or self.course.arriving:
            return ()
        return tuple(result for result in self.results if result.thrift and result.cores < ENOUGH)

    @property
    def measure(self) -> str:
        """The engine that ratios are to: the first that has figures; "" when none has."""
        return self.results[0].engine if self.results else ""

    @property
    def complete(self) -> bool:
        """Every entrant ran to the end."""
        return not any(entrant.failure for entrant in self.entrants)

    def as_json(self) -> str:
        """The text of a JSON document; `read` takes it back."""
        return json.dumps({"format": FORMAT, **asdict(self)}, indent=1) + "\n"


def read(text: str) -> RaceResults:
    """The race that `as_json` wrote. Raises ValueError for anything else."""
    try:
        data = msgspec.json.decode(text, type=dict[str, Any])
        if data.get("format") != FORMAT:
            raise ValueError(f"a race of format {data.get('format')}; {FORMAT} is known")
        return msgspec.convert(data, RaceResults)
    except (msgspec.DecodeError, RecursionError) as error:
        raise ValueError(f"no race: {error}") from None


def percentiles(values: Sequence[float]) -> tuple[float, float]:
    """Median and 95th percentile by nearest rank. Raises ValueError for no values."""
    if not values:
        raise ValueError("there is no percentile of nothing")
    ordered = sorted(values)
    return tuple(ordered[-(-len(ordered) * share // 100) - 1] for share in (50, 95))  # type: ignore[return-value]
