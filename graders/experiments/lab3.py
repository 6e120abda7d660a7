"""Lab 3, the conveyor belt and the loose leaves: batching, scheduling and paging one by one;
budget; arrivals."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean

from graders.experiments import engine_races
from graders.experiments.drawn_requests import BLOCK_SIZE, MIXES, POOL, lengths
from graders.experiments.lab_names import ALONE, CONTINUOUS, PAGED, SIDES, STATIC
from graders.experiments.results import Finished, Measurement
from graders.experiments.session import Task
from graders.experiments.workbench import LabPlan, Stopwatch, solved, tokens
from graders.workloads import Trace, workload
from reference_engine import naive
from reference_engine.engine import Engine
from reference_engine.model import Model
from reference_engine.model_loader import load_model
from reference_engine.parts import Parts

BLOCK_SIZES = (1, 4, 8, 16, 32, 64, 128)
RESERVED = 1024
"""Tokens set aside for everybody where memory is contiguous: the longest of `MIXES`."""
CHUNKS, DECODERS, NEWCOMER = (32, 64, 128, 256, 512, 1024), 8, 1024
SHARES = (0.2, 0.4, 0.6, 0.8, 1.0, 1.3)
"""Of the rate at which requests can be served at all."""
PROMPT, ANSWER = 48, 16


def tasks(plan: LabPlan) -> list[Task]:
    """Everything that the lab measures."""
    name = plan.models[0]
    own = [
        Task("effects", f"batching, scheduling, paging, {name}", lambda: effects(plan, name)),
        Task("pages", "requests held at once over the block size", lambda: pages(plan)),
        Task("chunks", f"token budget and chunk, {name}", lambda: chunks(plan, name)),
        Task("arrivals", f"latency over arrival rate, {name}", lambda: arrivals(plan, name)),
    ]
    return (
        [*own, engine_races.task(plan, "engines", workload="arrivals", apart=False)]
        if plan.engines
        else own
    )


# ---------------------------------------------------------------- three effects


@dataclass(frozen=True, slots=True)
class Run:
    """One side once. present: of each step, the requests that computed in it."""

    seconds: float
    cores: float
    present: tuple[int, ...]
    facts: Mapping[str, float]


def effects(plan: LabPlan, name: str) -> Finished:
    """Four engines on the same requests in the same memory, in turn."""
    model = load_model(name)
    trace = workload("ragged", plan.seed, model=name, scale=0.25 if plan.quick else 1.0)
    parts = _parts(trace.longest)
    runs: dict[str, list[Run]] = {side: [] for side in SIDES}
    for number in range(plan.rounds(11) + 1):  # the first warms up
        for side in SIDES if number % 2 else SIDES[::-1]:
            run = _served(model, parts[side], trace, 1 if side is ALONE else trace.max_seqs)
            runs[side] += [run] * (number > 0)
    points = list[Measurement]()
    for place, (side, every) in enumerate(runs.items()):
        seconds, cores = tuple(run.seconds for run in every), mean(run.cores for run in every)
        points.append(Measurement("effects", side, float(place), seconds, every[0].facts, cores))
        points.append(
            Measurement("timeline", side, float(place), tuple(map(float, every[0].present)))
        )
    return Finished(tuple(points))


def _parts(reserve: int) -> dict[str, Parts]:
    """Of every side. reserve: what contiguous memory sets aside for each request."""
    new = solved(cache=False)
    contiguous = partial(naive.BlockManager, max_tokens=reserve)
    before = Parts(contiguous, naive.Scheduler)  # type: ignore[arg-type]
    between = Parts(contiguous, new.scheduler)  # type: ignore[arg-type]
    return {ALONE: before, STATIC: before, CONTINUOUS: between, PAGED: new}


def _served(model: Model, parts: Parts, trace: Trace, seats: int) -> Run:
    engine = Engine(
        model, parts, num_blocks=trace.num_blocks, block_size=trace.block_size, max_seqs=seats
    )
    for request in trace.requests:
        engine.add(request.prompt, request.max_new)
    watch, present, chunks = Stopwatch(), list[int](), 0
    while not engine.idle:
        with watch:
            engine.step()
        present.append(engine.metrics.chunks - chunks)
        chunks = engine.metrics.chunks
    metrics = engine.metrics
    facts = {
        "steps": metrics.steps,
        "held": metrics.peak_running,
        "tokens": metrics.emitted,
        "wasted": 1 - metrics.utilisation,
    }
    return Run(
        watch.wall, watch.cores, tuple(present), {name: float(fact) for name, fact in facts.items()}
    )


# ---------------------------------------------------------------- pages


def pages(plan: LabPlan) -> Finished:
    """How many requests a pool holds, and how much of what they hold is empty; counted, without a
    clock."""
    model, points = load_model("random:tiny"), list[Measurement]()
    paged = solved(cache=False)
    contiguous = Parts(partial(naive.BlockManager, max_tokens=RESERVED), paged.scheduler)  # type: ignore[arg-type]
    for mix in MIXES:
        wanted = lengths(mix, plan.seed)
        for size in BLOCK_SIZES:
            facts = held(model, paged, wanted, size)
            points.append(Measurement("pages", mix, float(size), (facts["held"],), facts))
        facts = held(model, contiguous, wanted, BLOCK_SIZE)
        points.append(Measurement("contiguous", mix, 0.0, (facts["held"],), facts))
    return Finished(tuple(points))


def held(model: Model, parts: Parts, wanted: Sequence[int], block_size: int) -> dict[str, float]:
    """What one step of an engine admits of prompts of these lengths, and the share of it that holds
    no token."""
    engine = Engine(
        model,
        parts,
        num_blocks=1 + POOL // block_size,
        block_size=block_size,
        max_seqs=len(wanted),
        token_budget=2 * POOL,  # so that nobody is cut to a chunk that happens to fit
    )
    for length in wanted:
        engine.add([1] * length, 2)
    engine.step()
    return {"held": float(engine.metrics.peak_running), "wasted": 1 - engine.metrics.utilisation}


# ---------------------------------------------------------------- budget and chunk


def chunks(plan: LabPlan, name: str) -> Finished:
    """A long prompt arrives while others decode: how long it waits, and how long they wait for a
    token."""
    model, dice = load_model(name), random.Random(plan.seed)
    newcomer = min(NEWCOMER, model.config.positions // 2)
    points = list[Measurement]()
    for chunk in (each for each in CHUNKS if each <= newcomer):
        watch, first, gaps = Stopwatch(), list[float](), list[float]()
        for _ in range(plan.rounds()):
            steps = list(_joined(model, tokens(dice, model, newcomer), chunk, watch, dice))
            first.append(sum(steps))
            gaps.append(max(steps))
        points.append(
            Measurement(
                "chunk, first token", "newcomer", float(chunk), tuple(first), {}, watch.usual
            )
        )
        points.append(
            Measurement(
                "chunk, next token", "the others", float(chunk), tuple(gaps), {}, watch.usual
            )
        )
    return Finished(tuple(points))


def _joined(
    model: Model, prompt: Sequence[int], chunk: int, watch: Stopwatch, dice: random.Random
) -> Iterator[float]:
    """Seconds of every step from the arrival of `prompt` to its first token; the others get a token
    in each."""
    most = len(prompt) // chunk + 8
    room = 1 + -(-len(prompt) // BLOCK_SIZE) + 1 + DECODERS * -(-(PROMPT + most + 2) // BLOCK_SIZE)
    engine = Engine(
        model,
        solved(cache=False),
        num_blocks=room,
        max_seqs=DECODERS + 1,
        token_budget=chunk + DECODERS,
        chunk=chunk,
    )
    for _ in range(DECODERS):
        engine.add(tokens(dice, model, PROMPT), most + 16)
    while engine.metrics.emitted < DECODERS or engine.load().waiting:
        engine.step()
    newcomer, spoken = engine.add(prompt, 2), set[int]()
    while newcomer not in spoken:
        with watch:
            events = engine.step()
        spoken |= {event.id for event in events}
        yield watch.last


# ---------------------------------------------------------------- arrivals


def arrivals(plan: LabPlan, name: str) -> Finished:
    """Requests come by themselves, at shares of the rate at which they can leave: latency, and how
    many are there."""
    model, dice = load_model(name), random.Random(plan.seed)
    count = 48 if plan.quick else 160
    most = count / _arriving(model, [0.0] * count, dice).seconds
    points = list[Measurement]()
    for share in SHARES:
        seen, rate = list[_Seen](), share * most
        for _ in range(plan.rounds(1)):
            times = [0.0]
            while len(times) < count:
                times.append(times[-1] + dice.expovariate(rate))
            seen.append(_arriving(model, times, dice))
        facts = {
            "rate": mean(count / each.seconds for each in seen),
            "asked": rate,
            "in flight": mean(each.in_flight for each in seen),
        }
        latencies = tuple(each.latency for each in seen)
        points.append(
            Measurement("arrivals", "continuous, paged", share, latencies, facts, seen[0].cores)
        )
    return Finished(tuple(points))


@dataclass(frozen=True, slots=True)
class _Seen:
    """What an observer beside the engine noted. latency, in_flight: means, over requests and over
    time."""

    seconds: float
    latency: float
    in_flight: float
    cores: float


def _arriving(model: Model, times: Sequence[float], dice: random.Random) -> _Seen:
    """Serve a request at each of these moments, seconds from now."""
    room = 1 + len(times) * -(-(PROMPT + ANSWER) // BLOCK_SIZE)
    engine = Engine(model, solved(cache=False), num_blocks=room, max_seqs=32, token_budget=256)
    waiting = deque((moment, tokens(dice, model, PROMPT)) for moment in times)
    here, left, area, watch = dict[int, float](), list[float](), 0.0, Stopwatch()
    began = time.perf_counter()
    while waiting or here:
        now = time.perf_counter() - began
        if not here and waiting[0][0] > now:
            time.sleep(waiting[0][0] - now)
            now = time.perf_counter() - began
        while waiting and waiting[0][0] <= now:
            moment, prompt = waiting.popleft()
            here[engine.add(prompt, ANSWER)] = moment
        present = len(here)
        with watch:
            events = engine.step()
        area += present * watch.last
        left += [
            time.perf_counter() - began - here.pop(event.id) for event in events if event.finished
        ]
    seconds = time.perf_counter() - began
    return _Seen(seconds, mean(left), area / seconds, watch.cores)
