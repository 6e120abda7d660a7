"""What the experiments share: parts, prompts, an engine that decodes, and a clock that knows when
it was starved."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from statistics import median
from typing import Self

import torch

from graders.engines.launch_config import SOLUTIONS
from graders.engines.launch_config import parts as part_paths
from graders.experiments.drawn_requests import BLOCK_SIZE
from graders.experiments.results import Measurement
from reference_engine.ceilings import measure
from reference_engine.engine import Engine
from reference_engine.llama.config import LlamaConfig
from reference_engine.model import Model
from reference_engine.parts import Parts, load_part
from reference_engine.processor import processor
from reference_engine.roofline import Roof, Work, weights_read

Say = Callable[[str], None]
SIZES = ("vocab", "width", "layers", "heads", "kv_heads", "head_width", "inner", "tied")


@dataclass(frozen=True, slots=True)
class LabPlan:
    """What a lab is to measure. models: names that `load_model` knows, the first is the usual one.
    engines: to be raced beside ours. quick: so little of it that a minute is enough. say: told how
    a long task goes.
    """

    lab: int
    quick: bool
    models: tuple[str, ...]
    engines: tuple[str, ...] = ()
    threads: int = 0
    seed: int = 0
    say: Say = lambda line: None

    def rounds(self, quick: int = 3) -> int:
        """Of one experiment: how often every point is measured."""
        return quick if self.quick else 2 * quick + 1


class Stopwatch:
    """Seconds of the wall and processors in use, of everything inside its `with`; may be entered
    again."""

    def __init__(self) -> None:
        self.wall = self.cpu = self.last = 0.0
        self._each = list[float]()

    def __enter__(self) -> Self:
        self._began = time.perf_counter(), time.process_time()
        return self

    def __exit__(self, *_: object) -> None:
        self.last = time.perf_counter() - self._began[0]
        cpu = time.process_time() - self._began[1]
        self.wall, self.cpu = self.wall + self.last, self.cpu + cpu
        self._each.append(cpu / self.last if self.last else 0.0)

    @property
    def cores(self) -> float:
        """On average, so far."""
        return self.cpu / self.wall if self.wall else 0.0

    @property
    def usual(self) -> float:
        """The median of the times that it was entered: beside samples of which the median counts.
        One pause of the machine is no more to it than to them."""
        return median(self._each) if self._each else 0.0


def solved(*, cache: bool) -> Parts:
    """The solutions, with or without their prefix cache."""
    parts = Parts(**{slot: load_part(path, slot) for slot, path in part_paths(SOLUTIONS).items()})
    return parts if cache else replace(parts, prefix_cache=None)


def tokens(dice: random.Random, model: Model, count: int) -> list[int]:
    """So many random ones."""
    return [dice.randrange(model.config.vocab) for _ in range(count)]


def sizes(config: LlamaConfig) -> dict[str, int]:
    """What the formulas of the labs are given of a model."""
    return {name: int(getattr(config, name)) for name in SIZES}


def roof(config: LlamaConfig) -> Roof:
    """This machine's, measured now, and again when somebody comes above it."""
    ask = partial(measure, config, threads=torch.get_num_threads())
    return Roof(ask(), partial(ask, effort=2), limit=processor().theoretical_peak)


def ceilings(over: Roof, model: str) -> Measurement:
    """The ceilings as they are at the end, to be kept beside what was measured under them."""
    found = over.ceilings
    return Measurement(
        "ceilings", model, 0.0, facts={"peak": found.peak, "bandwidth": found.bandwidth}
    )


def decode_work(config: LlamaConfig, batch: int, context: int) -> Work:
    """One step of `batch` requests, each the token after `context` others, in fp32."""
    weights = weights_read(config)
    attention = 4 * config.queries * config.layers * (context + 1)
    cached = 2 * config.layers * config.keys * context
    return Work(float(batch * (2 * weights + attention)), 4.0 * (weights + batch * cached))


def decoding(
    model: Model, parts: Parts, batch: int, context: int, steps: int, dice: random.Random
) -> Engine:
    """An engine with `batch` requests that have read `context` tokens, and have `steps` to go at
    least."""
    room = 1 + batch * -(-(context + steps + 8) // BLOCK_SIZE)
    engine = Engine(
        model,
        parts,
        num_blocks=room,
        block_size=BLOCK_SIZE,
        max_seqs=batch,
        token_budget=batch * context,
    )
    for _ in range(batch):
        engine.add(tokens(dice, model, context), steps + 8)
    for _ in range(3):  # the first reads all prompts, the others warm up
        engine.step()
    return engine


def purely_decoding(engine: Engine, before: tuple[int, int]) -> bool:
    """Whether the last step computed one token of each of its requests. before: `counted`, before
    it."""
    computed, chunks = counted(engine)
    return computed - before[0] == chunks - before[1]


def counted(engine: Engine) -> tuple[int, int]:
    """Tokens computed and chunks so far."""
    return engine.metrics.computed, engine.metrics.chunks
