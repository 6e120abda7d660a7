"""How fast the engine is on this machine, side by side with its naive parts and, where installed,
with transformers.

    python -m reference_engine.benchmarks.engine

Contenders take turns, several rounds of all of them in alternating order, so that what disturbs one
disturbs the others; shown are the median of the rounds with their spread, and how many times as
fast the engine was in the same rounds. Requests are the same for all: greedy, EOS ignored, tokens
in and out fixed. transformers runs in the environment whose Python COURSE_TRANSFORMERS_PYTHON
names, or in the one that the course installed. Outputs are verified by the oracle after the clock
has stopped; what the floor is, `roofline` says.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import IO, Any

import torch

from reference_engine import oracle
from reference_engine.ceilings import measure as measure_ceilings
from reference_engine.engine import Engine
from reference_engine.llama.weights import save
from reference_engine.model import Model, ModelError
from reference_engine.model_loader import load_model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import CLASS_NAMES, PartMissing, Parts, load_part, part_files
from reference_engine.processor import processor
from reference_engine.roofline import Roof, serving_work
from reference_engine.slots import Request

BLOCK_SIZE, BLOCKS = 16, 1300
SOLUTIONS = Path(__file__).resolve().parents[2] / "solutions"
CHILD = Path(__file__).with_name("transformers_generate.py")
INSTALLED = Path("~/.cache/inference-kitchen/engines/transformers/bin/python")


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests that are served together. shared: tokens that all prompts open with. cache: it is
    about the cache."""

    name: str
    requests: tuple[Request, ...]
    shared: int = 0
    cache: bool = False

    @property
    def tokens(self) -> int:
        """Output tokens, which is what throughput counts."""
        return sum(request.max_new for request in self.requests)


@dataclass(frozen=True, slots=True)
class BenchmarkedEngine:
    """Something that serves requests: `serve` returns the outputs and the seconds that they took."""

    name: str
    serve: Callable[[Workload], tuple[list[list[int]], float]]


def workloads(vocab: int, positions: int, seed: int) -> list[Workload]:
    """Mixed lengths for 64 guests, a single stream, 64 guests with one menu, and 64 of whom no two
    share a thing."""
    dice = random.Random(seed)

    def tokens(count: int) -> list[int]:
        return [dice.randrange(vocab) for _ in range(count)]

    mixed = tuple(
        Request(id, tokens(dice.randint(32, 256)), dice.randint(32, 128)) for id in range(64)
    )
    menu = tokens(min(512, positions // 2))
    asking = tuple(Request(id, menu + tokens(32), 16) for id in range(64))
    strangers = tuple(Request(id, tokens(160), 32) for id in range(64))
    return [
        Workload("64 requests", mixed),
        Workload("single stream", (Request(0, tokens(64), 256),)),
        Workload("shared menu, 64 guests", asking, shared=len(menu), cache=True),
        Workload("nothing shared, 64 guests", strangers, cache=True),
    ]


def engine_contender(name: str, model: Model, parts: Parts, budget: int) -> BenchmarkedEngine:
    """The engine with these parts."""

    def serve(workload: Workload) -> tuple[list[list[int]], float]:
        engine = Engine(model, parts, num_blocks=BLOCKS, block_size=BLOCK_SIZE, token_budget=budget)
        began = time.perf_counter()
        outputs = engine.generate(workload.requests)
        return outputs, time.perf_counter() - began

    return BenchmarkedEngine(name, serve)


def transformers_python() -> Path | None:
    """The Python that has transformers; None: there is no such environment."""
    named = os.environ.get("COURSE_TRANSFORMERS_PYTHON")
    path = Path(named or os.path.expanduser(INSTALLED))
    return path if os.path.exists(path) else None  # nor in a home that is closed to us


@contextmanager
def transformers_contender(python: Path, model: Model) -> Iterator[BenchmarkedEngine]:
    """transformers' batched `generate` on the same weights with as many threads, in a process of
    its own."""
    with tempfile.TemporaryDirectory() as folder:
        save(Path(folder), model.config, model.weights)
        command = [str(python), "-I", str(CHILD), folder, str(torch.get_num_threads())]
        offline = os.environ | {"HF_HUB_OFFLINE": "1", "TRANSFORMERS_VERBOSITY": "error"}
        with subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=offline
        ) as child:
            assert child.stdin is not None and child.stdout is not None
            ask, answer = child.stdin, child.stdout
            version = _heard(answer)["version"]

            def serve(workload: Workload) -> tuple[list[list[int]], float]:
                asked = {
                    "prompts": [request.prompt for request in workload.requests],
                    "max_new": [request.max_new for request in workload.requests],
                }
                print(json.dumps(asked), file=ask, flush=True)
                result = _heard(answer)
                return result["outputs"], result["seconds"]

            yield BenchmarkedEngine(f"transformers {version}", serve)


def _heard(answer: IO[str]) -> dict[str, Any]:
    """The next line of JSON. SystemExit, with a sentence, when the process ended instead."""
    line = answer.readline()
    if not line:
        raise SystemExit(
            "the environment's transformers ended without an answer: run it with --no-transformers"
        )
    heard: dict[str, Any] = json.loads(line)
    return heard


def measure(
    workload: Workload, contenders: Sequence[BenchmarkedEngine], rounds: int
) -> dict[str, list[float]]:
    """Output tokens per second of every contender in every round, after one round to warm up."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        order = contenders if number % 2 else contenders[::-1]
        for contender in order:
            outputs, seconds = contender.serve(workload)
            if [len(output) for output in outputs] != [
                request.max_new for request in workload.requests
            ]:
                raise SystemExit(f"{contender.name} did not say as many tokens as it was asked for")
            if number:
                rates[contender.name].append(workload.tokens / seconds)
    return rates


def verified(model: Model, workload: Workload, contender: BenchmarkedEngine) -> str:
    """How many of a contender's outputs the oracle agrees with."""
    outputs, _ = contender.serve(workload)
    right = sum(
        oracle.replay(model, request.prompt, output) is None
        for request, output in zip(workload.requests, outputs, strict=True)
    )
    return f"{right} of {len(outputs)} outputs right"


def report(
    model: Model,
    workload: Workload,
    contenders: Sequence[BenchmarkedEngine],
    rounds: int,
    roof: Roof,
) -> None:
    """Measure one workload and print its table; the first contender is the engine that the others
    are compared with."""
    prompts = sum(len(request.prompt) for request in workload.requests)
    print(f"\n{workload.name}: {prompts} prompt tokens, {workload.tokens} output tokens")
    rates = measure(workload, contenders, rounds)
    own = rates[contenders[0].name]
    for contender in contenders:
        rate = rates[contender.name]
        times = statistics.median(mine / theirs for mine, theirs in zip(own, rate, strict=True))
        line = f"  {contender.name:<26} {statistics.median(rate):>7.0f} tok/s  ({min(rate):.0f} to {max(rate):.0f})"
        beside = "" if contender is contenders[0] else f"engine {times:.2f}x"
        print(f"{line:<62} {beside:<14} {verified(model, workload, contender)}", flush=True)
    asked = [(request.prompt, request.max_new) for request in workload.requests]
    work = serving_work(
        model.config, asked, seats=len(asked), shared=workload.cache, stored=model.bytes_a_weight
    )
    for name, rate in rates.items():
        roof.watch(work, workload.tokens / max(rate), name)
    limit = workload.tokens / roof.ceilings.seconds(work)
    share = min(1.0, max(own) / limit)
    print(
        f"  {'floor of this machine':<26} {limit:>7.0f} tok/s  the engine's best reached {share:.0%}"
    )
    for raised in roof.raised:
        print(f"  {raised}")


def parts_in(folder: Path) -> Parts:
    """The parts whose files lie anywhere in `folder`; naive ones for those that do not. Raises
    PartMissing."""
    found = part_files(folder, CLASS_NAMES)
    if not found:
        raise PartMissing(
            f"{folder} holds none of {', '.join(f'{slot}.py' for slot in CLASS_NAMES)}"
        )
    return replace(naive_parts(), **{slot: load_part(path, slot) for slot, path in found.items()})


def race(
    model: Model, parts: Parts, opponent: BenchmarkedEngine | None, options: argparse.Namespace
) -> None:
    """Every workload that was asked for, with the contenders that say something about it."""
    threads = torch.get_num_threads()
    machine = measure_ceilings(model.config, threads=threads, width=model.bytes_a_weight)
    print(
        f"peak {machine.peak / 1e9:.0f} GFLOP/s, weights are read at {machine.bandwidth / 1e9:.0f} GB/s"
    )
    again = partial(
        measure_ceilings, model.config, threads=threads, width=model.bytes_a_weight, effort=2
    )
    roof = Roof(machine, again, limit=processor().theoretical_peak)
    plain = engine_contender("engine", model, replace(parts, prefix_cache=None), options.budget)
    naive = engine_contender("engine with naive parts", model, naive_parts(), options.budget)
    cached = engine_contender("engine, prefix cache on", model, parts, options.budget)
    without = replace(plain, name="engine, prefix cache off")
    for workload in workloads(model.config.vocab, model.config.positions, options.seed):
        if options.only in workload.name:
            others = [without] if workload.cache else [naive, *([opponent] if opponent else [])]
            report(
                model,
                workload,
                [cached if workload.cache else plain, *others],
                options.rounds,
                roof,
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0, or 2 with a sentence when model or parts cannot be had."""
    options = _options(arguments)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    try:
        model = load_model(options.model)
        parts = parts_in(options.parts)
    except (ModelError, PartMissing) as error:
        print(error, file=sys.stderr)
        return 2
    gc.freeze()
    size, threads = (
        f"{model.config.parameters / 1e6:.1f} million parameters",
        torch.get_num_threads(),
    )
    print(f"{model.name}: {size}, fp32, torch {torch.__version__}, {threads} threads")
    python = transformers_python() if options.transformers else None
    if python is None:
        print("transformers is not raced: no environment has it, or it was left out")
        race(model, parts, None, options)
    else:
        with transformers_contender(python, model) as opponent:
            race(model, parts, opponent, options)
    print(
        f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB"
    )
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reference_engine.benchmarks.engine",
        description=(__doc__ or "").split("\n")[0],
    )
    parser.add_argument(
        "--model", default="random:5m", help="waiter, random:<shape> or a checkpoint folder"
    )
    parser.add_argument(
        "--parts", type=Path, default=SOLUTIONS, help="folder with the engine's parts"
    )
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument(
        "--threads", type=int, default=0, help="threads of torch; 0: as many as it takes itself"
    )
    parser.add_argument("--budget", type=int, default=512, help="tokens a step may compute")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-transformers", dest="transformers", action="store_false")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
