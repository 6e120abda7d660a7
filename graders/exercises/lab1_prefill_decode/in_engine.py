"""The last law of lab 1: the formulas beside what the engine has: its files, its roofline, its pool
of KV."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from graders.checking.check_context import CheckContext
from graders.exercises.lab1_prefill_decode.random_cases import judge_of
from graders.result import Figure
from reference_engine.llama.config import SHAPES, LlamaConfig, from_json
from reference_engine.roofline import token_work, weights_read
from reference_engine.slots import Shape

MODELS = 4
Sizes = Mapping[str, tuple[int, ...]]


def as_the_engine_counts(context: CheckContext) -> None:
    """The waiter's files, then models of random proportions; and, where torch may be loaded, a real
    pool."""
    config, stored = waiter()
    _judge(context, config, stored, "of the waiter, the model of the course")
    context.figures.append(
        Figure("weights of the waiter", float(_numbers(stored)), "numbers", note="in its files")
    )
    chance = random.Random(context.seed)
    named = [(name, known) for name, known in SHAPES.items() if not known.qk_norm]
    for name, known in chance.sample(named, MODELS):
        varied = replace(known, layers=chance.randint(1, 40), tied=chance.random() < 0.5)
        _judge(context, varied, varied.shapes(), f"of random:{name} with {varied.layers} layers")
    if not context.laws_only:
        _judge_pool(context, config, chance)


def waiter() -> tuple[LlamaConfig, Sizes]:
    """The sizes of the embedded model, and of each tensor that lies in its files."""
    import json

    from reference_engine import waiter as home
    from reference_engine.peers.loaded_weights import tensors

    folder = home.CHECKPOINT
    config = from_json(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    return config, {
        name: tuple(header["shape"]) for name, (_, _, header) in tensors(folder).items()
    }


def shape_of(config: LlamaConfig) -> Shape:
    """What the formulas are asked about."""
    heads = config.heads, config.kv_heads, config.head_width
    return Shape(config.vocab, config.width, config.layers, *heads, config.inner, config.tied)


def _numbers(sizes: Sizes) -> int:
    return sum(math.prod(size) for size in sizes.values())


def _judge(context: CheckContext, config: LlamaConfig, sizes: Sizes, whose: str) -> None:
    """All of a model that the engine knows without running it."""
    judge, shape, chance = judge_of(context), shape_of(config), random.Random(context.seed)
    cached, width = chance.randint(0, 4000), chance.choice((2, 4))
    context.cases += 3
    judge.counted(
        "parameters", "weights", _numbers(sizes), f"That is what the tensors {whose} hold.", shape
    )
    each, kv = token_work(config), 2 * config.layers * config.keys
    due = 2 * (each.least + each.more) + 4 * config.queries * config.layers * (cached + 1)
    because = f"That is what the engine's roofline counts for a token {whose}."
    judge.counted("operations", "operations", due, because, shape, new_tokens=1, context=cached)
    norms = _numbers({name: size for name, size in sizes.items() if len(size) == 1})
    due = width * (weights_read(config) + norms + config.width + kv * (cached + 1))
    because = (
        f"That is what the engine's roofline reads for a step {whose}, with norms, a row and KV."
    )
    judge.counted(
        "decode_bytes", "bytes", due, because, shape, contexts=[cached], bytes_per_value=width
    )


def _judge_pool(context: CheckContext, config: LlamaConfig, chance: random.Random) -> None:
    """A real engine with the waiter: the weights it has loaded, and the memory that it has taken
    for KV."""
    from reference_engine.engine import Engine
    from reference_engine.model_loader import load_model

    model, judge, shape = load_model("waiter"), judge_of(context), shape_of(config)
    blocks, size = chance.randint(2, 9), chance.choice((1, 4, 16))
    engine = Engine(model, num_blocks=blocks, block_size=size, max_seqs=2)
    taken, width = _pool_bytes(engine.runner), model.dtype.itemsize
    context.cases += 2
    loaded = sum(weight.numel() for weight in model.weights.values())
    judge.counted("parameters", "weights", loaded, "So many are in memory.", shape)
    because = f"The pool of {blocks} blocks of {size} takes {taken:,} bytes."
    judge.counted(
        "kv_bytes_per_token",
        "bytes",
        taken // (blocks * size),
        because,
        shape,
        bytes_per_value=width,
    )


def _pool_bytes(runner: Any) -> int:
    """What the KV pool takes, whichever runner it is."""
    return int(runner.pool.nbytes)
