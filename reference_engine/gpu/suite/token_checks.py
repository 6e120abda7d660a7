"""The engine's tokens on the device against the oracle, and the laws that learners' parts are held
to.

In fp32 every text must be the oracle's but for near-ties. In bf16 two right computations differ, so
each token must be within `COARSE_TIE` of the oracle's best at its place; the share of exact ones is
told beside it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.gpu.overlap import OverlappedEngine
from reference_engine.gpu.runner import GpuRunner
from reference_engine.gpu.suite.card import Row, Section, SectionOutcome
from reference_engine.gpu.suite.engines import DeviceSizes
from reference_engine.medusa.heads import RequestProgress, random_heads
from reference_engine.medusa.speculator import MedusaSpeculator
from reference_engine.medusa.tree_search import TreeChoice
from reference_engine.model import Model, random_model
from reference_engine.slots import Request

COARSE_TIE = 0.25
TREE = TreeChoice(((0,), (1,), (0, 0), (0, 1), (0, 0, 0)), (0.5, 0.2, 0.3, 0.1, 0.2))
POOL: dict[str, Any] = {
    "num_blocks": 64,
    "block_size": 4,
    "max_seqs": 6,
    "token_budget": 64,
    "chunk": 11,
}
TIGHT = POOL | {"num_blocks": 14}


class Perfect:
    """Guesses what the model will say: the texts are known beforehand."""

    def __init__(self, texts: dict[int, list[int]], heads: int) -> None:
        self._texts, self._heads, self._said = texts, heads, dict.fromkeys(texts, 0)

    def guess(
        self, told: Sequence[RequestProgress], hidden: torch.Tensor, count: int
    ) -> torch.Tensor:
        """See `medusa.heads.Guesser`."""
        rows = []
        for one in told:
            self._said[one.id] += len(one.tokens)
            coming = self._texts[one.id][self._said[one.id] :] + [0] * self._heads
            rows.append([[token] * count for token in coming[: self._heads]])
        return torch.tensor(rows)

    def forget(self, id: int) -> None:
        """The request left."""


def check(target: DeviceSizes) -> Section:
    """One row a law."""
    model = random_model("tiny", seed=7, device=target.device)
    asked = _requests(target, model, 5 if target.dry else 24)
    rows: list[Row] = []
    with target.gpu_engines():
        texts = Engine(model, target.parts, **POOL).generate(asked)
        for law, holds in _laws(target, model, asked, texts).items():
            rows.append({"law": law, "holds": holds()})
        rows += _coarse(target, model, asked)
    broken = [str(row["law"]) for row in rows if not row["holds"]]
    message = f"broken: {'; '.join(broken)}" if broken else f"{len(rows)} laws hold"
    return Section(
        "tokens", SectionOutcome.FAIL if broken else SectionOutcome.PASS, message, tuple(rows)
    )


def _laws(
    target: DeviceSizes, model: Model, asked: list[Request], texts: list[list[int]]
) -> dict[str, Callable[[], bool]]:
    """By name; each answers whether it holds."""

    def same(**sizes: int) -> bool:
        return Engine(model, target.parts, **(POOL | sizes)).generate(asked) == texts

    def replayed() -> bool:
        pairs = zip(asked, texts, strict=True)
        return all(oracle.replay(model, one.prompt, text) is None for one, text in pairs)

    def preempted() -> bool:
        engine = Engine(model, target.parts, **TIGHT)
        return engine.generate(asked) == texts and engine.metrics.preemptions > 0

    laws: dict[str, Callable[[], bool]] = {
        "fp32 texts are the oracle's": replayed,
        "exact lengths": lambda: [len(text) for text in texts] == [one.max_new for one in asked],
        "block size 1": lambda: same(block_size=1, num_blocks=256),
        "block size 16": lambda: same(block_size=16),
        "one request at a time": lambda: same(max_seqs=1),
        "whole prompts in one step": lambda: same(chunk=64, token_budget=256),
        "under preemption": preempted,
        "tokens read one step late": lambda: (
            OverlappedEngine(model, target.parts, **POOL).generate(asked) == texts
        ),
        "poisoned free slots": lambda: _poisoned(model, target, asked, texts),
    }
    if target.parts.prefix_cache is not None:
        laws["shared prefixes are cached"] = lambda: _cached(model, target, asked, texts)
    if target.parts.medusa is not None:
        laws["random heads change no text"] = lambda: _speculated(model, target, asked, texts)
        laws["perfect heads save the steps they must"] = lambda: _perfect(
            model, target, asked, texts
        )
    return laws


def _requests(target: DeviceSizes, model: Model, count: int) -> list[Request]:
    rng = target.random("requests")
    vocab, common = model.config.vocab, [rng.randrange(model.config.vocab) for _ in range(12)]
    tails = [[rng.randrange(vocab) for _ in range(rng.randint(1, 20))] for _ in range(count)]
    return [
        Request(id, common * (id % 2) + tail, rng.randint(4, 9)) for id, tail in enumerate(tails)
    ]


def _poisoned(
    model: Model, target: DeviceSizes, asked: list[Request], texts: list[list[int]]
) -> bool:
    engine = Engine(model, target.parts, **POOL)
    if not isinstance(engine.runner, GpuRunner):
        return False
    engine.runner.pool.all.fill_(float("nan"))
    return engine.generate(asked) == texts


def _cached(
    model: Model, target: DeviceSizes, asked: list[Request], texts: list[list[int]]
) -> bool:
    engine = Engine(model, target.parts, **(POOL | {"max_seqs": 1}))
    return engine.generate(asked) == texts and engine.metrics.cached > 0


def _speculated(
    model: Model, target: DeviceSizes, asked: list[Request], texts: list[list[int]]
) -> bool:
    speculator = MedusaSpeculator(
        target.parts.medusa, random_heads(model, TREE.depth, seed=0), TREE
    )
    return Engine(model, target.parts, **POOL, speculator=speculator).generate(asked) == texts


def _perfect(
    model: Model, target: DeviceSizes, asked: list[Request], texts: list[list[int]]
) -> bool:
    """After the first token of a request, each step says depth + 1 tokens until the end."""
    heads = Perfect(dict(enumerate(texts)), TREE.depth)
    speculator = MedusaSpeculator(target.parts.medusa, heads, TREE)
    engine = Engine(
        model, target.parts, **(POOL | {"max_seqs": 1, "chunk": 64}), speculator=speculator
    )
    wanted = sum(1 + -(-(one.max_new - 1) // (TREE.depth + 1)) for one in asked)
    return engine.generate(asked) == texts and engine.metrics.steps == wanted


def _coarse(target: DeviceSizes, model: Model, asked: list[Request]) -> list[Row]:
    low = replace(model, weights={name: value.bfloat16() for name, value in model.weights.items()})
    texts = Engine(low, target.parts, **POOL).generate(asked)
    exact = total = 0
    for one, text in zip(asked, texts, strict=True):
        best = (
            oracle.logits(low, [*one.prompt, *text[:-1]])[len(one.prompt) - 1 :].argmax(-1).tolist()
        )
        exact += sum(first == second for first, second in zip(best, text, strict=True))
        total += len(text)
    near = all(
        oracle.replay(low, one.prompt, text, COARSE_TIE) is None
        for one, text in zip(asked, texts, strict=True)
    )
    return [
        {"law": f"bf16 tokens are near-ties ({100 * exact / total:.1f} % exact)", "holds": near}
    ]
