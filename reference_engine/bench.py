"""How fast the engine is on this machine, side by side with its naive parts and, where installed, with transformers.

    python -m reference_engine.bench --parts solutions

Contenders take turns in one process, several rounds of all of them, so that what disturbs one disturbs the others; the
median of the rounds is shown with their spread. Requests are the same for all: greedy, EOS ignored, tokens in and out
fixed. What transformers is given is its best case, one batch of everybody with left padding. The engine's outputs are
verified by the oracle after the clock has stopped.
"""

from __future__ import annotations

import argparse
import gc
import importlib.util
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.llama.weights import save
from reference_engine.model import Model, ModelError, load_model
from reference_engine.naive import parts as naive_parts
from reference_engine.parts import CLASS_NAMES, PartMissing, Parts, load_part
from reference_engine.slots import Request

BLOCK_SIZE, BLOCKS = 16, 1300


@dataclass(frozen=True, slots=True)
class Workload:
    """Requests that are served together. `cached`: with a prefix cache, for prompts that open alike."""

    name: str
    requests: tuple[Request, ...]
    cached: bool = False

    @property
    def tokens(self) -> int:
        """Output tokens, which is what throughput counts."""
        return sum(request.max_new for request in self.requests)


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that serves requests: `serve` returns the outputs and the seconds that they took."""

    name: str
    serve: Callable[[Workload], tuple[list[list[int]], float]]


def workloads(vocab: int, positions: int, seed: int) -> list[Workload]:
    """Mixed lengths for 64 guests, a single stream, 64 guests with one long opening."""
    dice = random.Random(seed)

    def tokens(count: int) -> list[int]:
        return [dice.randrange(vocab) for _ in range(count)]

    mixed = tuple(Request(id, tokens(dice.randint(32, 256)), dice.randint(32, 128)) for id in range(64))
    opening = tokens(min(512, positions // 2))
    shared = tuple(Request(id, opening + tokens(32), 16) for id in range(64))
    return [
        Workload("64 requests", mixed),
        Workload("single stream", (Request(0, tokens(64), 256),)),
        Workload("shared opening, 64 guests", shared, cached=True),
    ]


def engine_contender(name: str, model: Model, parts: Parts, budget: int) -> Contender:
    """The engine with some parts; the prefix cache takes part where openings are shared."""

    def serve(workload: Workload) -> tuple[list[list[int]], float]:
        used = parts if workload.cached else replace(parts, prefix_cache=None)
        engine = Engine(model, used, num_blocks=BLOCKS, block_size=BLOCK_SIZE, token_budget=budget)
        began = time.perf_counter()
        outputs = engine.generate(workload.requests)
        return outputs, time.perf_counter() - began

    return Contender(name, serve)


def transformers_contender(model: Model, folder: Path) -> Contender:
    """transformers' batched `generate` on the same weights: one batch, padded left, until the longest is done."""
    import transformers

    save(folder, model.config, model.weights)
    network: Any = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    network.generation_config.eos_token_id = None
    network.generation_config.pad_token_id = 0

    def serve(workload: Workload) -> tuple[list[list[int]], float]:
        width = max(len(request.prompt) for request in workload.requests)
        longest = max(request.max_new for request in workload.requests)
        rows = [[0] * (width - len(request.prompt)) + request.prompt for request in workload.requests]
        mask = [[0] * (width - len(request.prompt)) + [1] * len(request.prompt) for request in workload.requests]
        began = time.perf_counter()
        said = network.generate(
            torch.tensor(rows), attention_mask=torch.tensor(mask), max_new_tokens=longest, do_sample=False
        )[:, width:].tolist()
        seconds = time.perf_counter() - began
        return [row[: request.max_new] for row, request in zip(said, workload.requests, strict=True)], seconds

    return Contender(f"transformers {transformers.__version__}", serve)


def measure(workload: Workload, contenders: Sequence[Contender], rounds: int) -> dict[str, list[float]]:
    """Output tokens per second of every contender in every round, after one round to warm up."""
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds + 1):
        order = contenders if number % 2 else contenders[::-1]
        for contender in order:
            outputs, seconds = contender.serve(workload)
            if [len(output) for output in outputs] != [request.max_new for request in workload.requests]:
                raise SystemExit(f"{contender.name} did not say as many tokens as it was asked for")
            if number:
                rates[contender.name].append(workload.tokens / seconds)
    return rates


def verified(model: Model, workload: Workload, contender: Contender) -> str:
    """How many of a contender's outputs the oracle agrees with."""
    outputs, _ = contender.serve(workload)
    right = sum(
        oracle.replay(model, request.prompt, output) is None
        for request, output in zip(workload.requests, outputs, strict=True)
    )
    return f"{right} of {len(outputs)} outputs right"


def report(model: Model, workload: Workload, contenders: Sequence[Contender], rounds: int) -> None:
    """Measure one workload and print its table; the first contender is what the others are compared with."""
    prompts = sum(len(request.prompt) for request in workload.requests)
    print(f"\n{workload.name}: {prompts} prompt tokens, {workload.tokens} output tokens")
    rates = measure(workload, contenders, rounds)
    base = statistics.median(rates[contenders[0].name])
    for contender in contenders:
        rate = statistics.median(rates[contender.name])
        low, high = min(rates[contender.name]), max(rates[contender.name])
        line = f"  {contender.name:<24} {rate:>8.0f} tok/s  ({low:.0f} to {high:.0f})  {rate / base:>6.2f}x"
        print(f"{line}  {verified(model, workload, contender)}", flush=True)


def parts_in(folder: Path) -> Parts:
    """The parts whose files lie anywhere in `folder`; naive ones for those that do not. Raises PartMissing."""
    found = {slot: sorted(folder.rglob(f"{slot}.py")) for slot in CLASS_NAMES}
    if not any(found.values()):
        raise PartMissing(f"{folder} holds none of {', '.join(f'{slot}.py' for slot in CLASS_NAMES)}")
    return replace(naive_parts(), **{slot: load_part(paths[0], slot) for slot, paths in found.items() if paths})


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Exit code 0, or 2 with a sentence when model or parts cannot be had."""
    options = _options(arguments)
    torch.set_num_threads(options.threads or torch.get_num_threads())
    try:
        model = load_model(options.model)
        contenders = [engine_contender("naive parts", model, naive_parts(), options.budget)]
        if options.parts:
            contenders.append(
                engine_contender(f"parts of {options.parts}", model, parts_in(options.parts), options.budget)
            )
    except (ModelError, PartMissing) as error:
        print(error, file=sys.stderr)
        return 2
    gc.freeze()
    print(
        f"{model.name}: {model.config.parameters / 1e6:.1f} million parameters, fp32, torch {torch.__version__}, "
        f"{torch.get_num_threads()} threads"
    )
    with tempfile.TemporaryDirectory() as folder:
        if options.transformers and importlib.util.find_spec("transformers"):
            contenders.append(transformers_contender(model, Path(folder)))
        for workload in workloads(model.config.vocab, model.config.positions, options.seed):
            if options.only in workload.name:
                report(model, workload, contenders, options.rounds)
    print(f"\npeak memory of this process: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m reference_engine.bench", description=(__doc__ or "").split("\n")[0]
    )
    parser.add_argument("--model", default="random:5m", help="waiter, random:<shape> or a checkpoint folder")
    parser.add_argument("--parts", type=Path, help="folder with parts to compare with the naive ones")
    parser.add_argument("--rounds", type=int, default=3, help="rounds that count")
    parser.add_argument("--threads", type=int, default=0, help="threads of torch; 0: as many as it takes itself")
    parser.add_argument("--budget", type=int, default=512, help="tokens a step may compute")
    parser.add_argument("--only", default="", help="workloads whose name contains this")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-transformers", dest="transformers", action="store_false")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
