"""Speculation at a real model's cost with real acceptance: the waiter and its heads, stretched to
larger shapes."""

from __future__ import annotations

import time

import torch

from reference_engine.engine import Engine
from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.clock import settle
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.medusa import HEADS
from reference_engine.medusa.heads import load_heads
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import read_tree
from reference_engine.model import Model, ModelError
from reference_engine.model_loader import load_model
from reference_engine.slots import Request
from reference_engine.waiter.corpus import dialogue


def measure(target: DeviceSizes) -> Section:
    """One row a shape and batch: tokens a second with and without trees, tokens a pass, and whether
    texts agree."""
    if target.parts.medusa is None:
        return Section("medusa", SectionOutcome.SKIPPED, "there is no part that verifies")
    rows: list[Row] = []
    for shape in ("50m",) if target.dry else ("1b", "8b"):
        dtype = torch.float32 if target.dry else torch.bfloat16
        try:
            model = load_model(f"waiter@{shape}", device=target.device, dtype=dtype)
            read_tree(HEADS)
        except (ModelError, OSError, ValueError) as error:
            return Section(
                "medusa", SectionOutcome.SKIPPED, f"the waiter or its heads are not there: {error}"
            )
        with target.gpu_engines():
            for batch in target.pick((1, 2, 4, 8, 16), (2,)):
                if target.left < 0:
                    return Section("medusa", SectionOutcome.SKIPPED, "no time left", tuple(rows))
                row: Row = {"model": f"waiter@{shape}", "batch": batch}
                rows.append(row | _race(target, model, batch))
        del model
    wrong = target.dry and not all(row["same_text"] for row in rows)
    return Section(
        "medusa",
        SectionOutcome.FAIL if wrong else SectionOutcome.PASS,
        "in bf16 a tree's rounding differs from a single row's, so near-ties may go either way",
        tuple(rows),
    )


def _race(target: DeviceSizes, model: Model, batch: int) -> Row:
    """The same questions with and without trees."""
    asked = _questions(target, model, batch)
    plain, fast = (
        _served(target, model, asked, trees=False),
        _served(target, model, asked, trees=True),
    )
    told = sum(map(len, fast.texts))
    return {
        "plain_tokens_s": sum(map(len, plain.texts)) / plain.seconds,
        "medusa_tokens_s": told / fast.seconds,
        "gain": plain.seconds / fast.seconds * told / sum(map(len, plain.texts)),
        "tokens_a_pass": told / max(fast.passes, 1),
        "same_text": plain.texts == fast.texts,
    }


class _Served:
    """What one engine said, in how many seconds and sampling passes."""

    def __init__(self, texts: list[list[int]], seconds: float, passes: int) -> None:
        self.texts, self.seconds, self.passes = texts, seconds, passes


def _served(target: DeviceSizes, model: Model, asked: list[Request], *, trees: bool) -> _Served:
    speculator = None
    if trees:
        speculator = MedusaSpeculator(
            target.parts.medusa, load_heads(HEADS, model), read_tree(HEADS)
        )
    engine = Engine(
        model,
        target.parts,
        num_blocks=2 + len(asked) * 40,
        max_seqs=len(asked),
        token_budget=max(512, 64 * len(asked)),
        speculator=speculator,
    )
    if not target.dry:
        engine.generate(asked)
    settle(target.device)
    emitted, accepted, began = engine.metrics.emitted, engine.metrics.accepted, time.perf_counter()
    texts = engine.generate(asked)
    seconds = time.perf_counter() - began
    passes = (engine.metrics.emitted - emitted) - (engine.metrics.accepted - accepted)
    return _Served(texts, seconds, passes)


def _questions(target: DeviceSizes, model: Model, count: int) -> list[Request]:
    """Guests' questions under different menus; answers end by count, so that both runs say equally
    much."""
    longest = 6 if target.dry else 96
    prompts = [dialogue(1000 + seed, "heldout", turns=1).prompt(0) for seed in range(count)]
    ids = [model.tokenizer.encode(prompt, add_special_tokens=False).ids for prompt in prompts]
    return [
        Request(id, tokens[-120:] if target.dry else tokens, longest)
        for id, tokens in enumerate(ids)
    ]
