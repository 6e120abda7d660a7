"""What trees cost, on a clock that counts rows in the place of seconds."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from reference_engine.batch import Batch
from reference_engine.llama.config import LlamaConfig
from reference_engine.medusa import costs
from reference_engine.medusa.choice import TreeChoice
from reference_engine.medusa.heads import Told
from reference_engine.model import random_model
from reference_engine.runner import Outcome, make_runner

CONFIG = LlamaConfig(vocab=32, width=16, layers=1, heads=2, kv_heads=1, head_width=8, inner=24, positions=256)
TREE = TreeChoice(((0,), (0, 0), (1,)), (0.5, 0.2, 0.1))
GUESSING = 3


class Clock:
    """Tells how many rows went through the model, and GUESSING for each row that heads read."""

    def __init__(self) -> None:
        self.now = 0
        self.seen: list[tuple[int, int, int]] = []

    def perf_counter(self) -> float:
        return float(self.now)

    def runner(self, *args: Any, **keywords: Any) -> Any:
        runner = make_runner(*args, **keywords)
        inner = runner.forward

        def forward(batch: Batch) -> Outcome:
            self.now += sum(len(span.tokens) for span in batch.spans)
            self.seen += [(span.start, span.wanted, span.tree) for span in batch.spans]
            return inner(batch)

        runner.forward = forward
        return runner

    def guess(self, told: Sequence[Told], hidden: Tensor, count: int) -> Tensor:
        assert len(told) == len(hidden)
        self.now += GUESSING * len(hidden)
        return torch.zeros(len(hidden), 2, count, dtype=torch.int64)

    def forget(self, id: int) -> None:
        pass


@pytest.mark.parametrize("batch", [1, 3])
def test_passes_alone_cost_the_rows_of_the_tree_and_the_heads(batch: int, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock()
    monkeypatch.setattr(costs, "time", SimpleNamespace(perf_counter=clock.perf_counter))
    monkeypatch.setattr(costs, "make_runner", clock.runner)
    cost = costs.passes_cost(random_model(CONFIG, seed=1), clock, TREE, batch, context=100, repeats=4)
    assert cost == TREE.nodes + GUESSING
    assert clock.seen == [(100, TREE.nodes, TREE.nodes)] * batch * 4 + [(100, 1, 0)] * batch * 4
