"""The engine with all its parts under a load: 64 requests of 32 to 256 tokens, answers of 32 to
128, greedy, say."""

from __future__ import annotations

import time
from dataclasses import dataclass

import torch

from reference_engine.engine import Engine
from reference_engine.gpu.overlap import OverlappedEngine
from reference_engine.gpu.runner import GpuRunner
from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.clock import settle
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.model import Model, random_model
from reference_engine.slots import Request

REPEATS = 3


@dataclass(frozen=True, slots=True)
class Load:
    """A workload. shared: tokens that all prompts begin with."""

    name: str
    count: int
    prompts: tuple[int, int]
    answers: tuple[int, int]
    shared: int = 0

    def requests(self, target: DeviceSizes, vocab: int, turn: int) -> list[Request]:
        """Fresh requests for the `turn`-th run, of the same lengths in every run."""
        sizes, words = target.random(self.name), target.random(self.name, turn)
        common = [words.randrange(vocab) for _ in range(self.shared)]
        return [
            Request(
                id,
                common + [words.randrange(vocab) for _ in range(sizes.randint(*self.prompts))],
                sizes.randint(*self.answers),
            )
            for id in range(self.count)
        ]


LOADS = (
    Load("64 requests", 64, (32, 256), (32, 128)),
    Load("one request", 1, (128, 128), (128, 128)),
    Load("64 guests, one menu of 512", 64, (16, 32), (16, 32), shared=512),
)
DRY = (
    Load("3 requests", 3, (2, 9), (2, 4)),
    Load("3 guests, one menu", 3, (2, 4), (2, 3), shared=20),
)


def measure(target: DeviceSizes) -> Section:
    """One row a model and load: output tokens a second, the median of three runs with fresh
    prompts."""
    rows: list[Row] = []
    with target.gpu_engines():
        for name, config in target.shapes.items():
            model = random_model(config, device=target.device, dtype=torch.bfloat16)
            for load in DRY if target.dry else LOADS:
                if target.left < 0:
                    return Section(
                        "throughput", SectionOutcome.SKIPPED, "no time left", tuple(rows)
                    )
                row: Row = {"model": name, "load": load.name}
                rows.append(row | _serve(target, model, load))
            del model
    short = [row for row in rows if not row["complete"]]
    message = (
        f"answers of a wrong length: {short}"
        if short
        else "output tokens a second, prompts included in the time"
    )
    return Section(
        "throughput", SectionOutcome.FAIL if short else SectionOutcome.PASS, message, tuple(rows)
    )


def engine_for(target: DeviceSizes, model: Model, loads: tuple[Load, ...]) -> Engine:
    """An engine that holds every request of the loads at once."""
    requests = max(load.count for load in loads)
    longest = max(load.shared + load.prompts[1] + load.answers[1] for load in loads)
    blocks = 2 + requests * (-(-longest // 16) + 1)
    budget = 64 if target.dry else 2048
    engine = OverlappedEngine(
        model,
        target.parts,
        num_blocks=blocks,
        max_seqs=requests,
        token_budget=max(budget, requests),
    )
    if isinstance(engine.runner, GpuRunner):
        engine.runner.prepare()
    return engine


def _serve(target: DeviceSizes, model: Model, load: Load) -> Row:
    """Serve the load a few times. A first run is not counted: it captures and compiles."""
    speeds, complete = [], True
    engine = engine_for(target, model, (load,))
    for turn in range(1 + (1 if target.dry else REPEATS)):
        asked = load.requests(target, model.config.vocab, turn)
        settle(target.device)
        began = time.perf_counter()
        texts = engine.generate(asked)
        seconds = time.perf_counter() - began
        complete &= [len(text) for text in texts] == [one.max_new for one in asked]
        speeds.append(sum(map(len, texts)) / seconds)
    counted = sorted(speeds[1:])
    return {
        "tokens_s": counted[len(counted) // 2],
        "least": counted[0],
        "most": counted[-1],
        "complete": complete,
        "cached_tokens": engine.metrics.cached,
    }
