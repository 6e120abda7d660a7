"""A step spread over threads: each runs the whole model for some of the requests.

Splitting a batch by requests needs two meetings a step, splitting every operation by rows needs one
each. For the small products of a small model that decides: two shards of one thread serve 1.4 times
what one shard of two threads serves. All of it counts only where there is no compiler: the compiled
pass has threads of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

import torch

from reference_engine.batch import Span, StepBatch, Tables
from reference_engine.llama.kv_pool import KVPool
from reference_engine.llama.thread_shard import PackedWeights, ThreadShard
from reference_engine.runner import Outcome

WORTH = 30_000_000
"""Rows times parameters from which a step is spread."""
SMALL = 150_000_000
"""Rows times parameters up to which a step that is not spread is left to one thread: waking others takes longer."""
SLACK = 1.3
"""The fullest shard may have this many times its fair share; else the step is not spread."""
FAITHFUL = 1.05
"""Up to this many times a fair share, requests stay in the shard that served them last: it knows what they read."""
SINGLE_TOKENS, SPAN_TOKENS = 110, 600
"""Tokens of context that cost a row as much as its products: read one row at a time, and many rows together."""


class ThreadShards:
    """Runs steps on as many threads as torch may use at the time of the step."""

    def __init__(self, packed: PackedWeights, pool: KVPool, tables: Tables) -> None:
        self._parts = packed, pool, tables
        self._parameters = packed.config.parameters
        self._shards = [ThreadShard(*self._parts)]
        self._others: ThreadPoolExecutor | None = None
        self._shard_of: dict[int, int] = {}

    def forward(self, batch: StepBatch) -> Outcome:
        """See `Runner.forward`."""
        threads = torch.get_num_threads()
        rows = sum(len(span.tokens) for span in batch.spans)
        shares = self._shares(batch.spans, rows, threads)
        if len(shares) < 2 and (threads < 2 or rows * self._parameters > SMALL):
            return self._shards[0].forward(batch)
        torch.set_num_threads(1)
        try:
            return (
                self._spread(batch, shares) if len(shares) > 1 else self._shards[0].forward(batch)
            )
        finally:
            torch.set_num_threads(threads)

    def _shares(self, spans: Sequence[Span], rows: int, threads: int) -> list[list[int]]:
        """The spans of each shard by their index, in order; one share alone when spreading does not
        pay."""
        if threads < 2 or len(spans) < 2 or rows * self._parameters < WORTH:
            return [list(range(len(spans)))]
        costs = [_cost(span) for span in spans]
        most = sum(costs) / threads
        shards, fullest = _assign(spans, costs, threads, self._shard_of)
        if fullest > FAITHFUL * most:
            shards, fullest = _assign(spans, costs, threads, {})
        if fullest > SLACK * most:
            return [list(range(len(spans)))]
        self._shard_of = {span.seat: shard for span, shard in zip(spans, shards, strict=True)}
        shares = [
            [index for index, shard in enumerate(shards) if shard == number]
            for number in range(threads)
        ]
        return [share for share in shares if share]

    def _spread(self, batch: StepBatch, shares: Sequence[Sequence[int]]) -> Outcome:
        self._prepare(len(shares))
        assert self._others is not None
        batches = [
            StepBatch(tuple(batch.spans[index] for index in share), batch.depths, batch.mask)
            for share in shares
        ]
        pending = [
            self._others.submit(shard.forward, part)
            for shard, part in zip(self._shards[1:], batches[1:], strict=True)
        ]
        outcomes = [self._shards[0].forward(batches[0]), *(future.result() for future in pending)]
        return _merged(batch.spans, shares, outcomes)

    def _prepare(self, count: int) -> None:
        while len(self._shards) < count:
            self._shards.append(ThreadShard(*self._parts))
            self._others = ThreadPoolExecutor(
                len(self._shards) - 1, "shard", torch.set_num_threads, (1,)
            )


def _cost(span: Span) -> float:
    """What a span costs, in rows without context."""
    rows = len(span.tokens)
    return rows * (1 + (span.start + rows / 2) / (SINGLE_TOKENS if rows == 1 else SPAN_TOKENS))


def _assign(
    spans: Sequence[Span], costs: Sequence[float], threads: int, faithful: Mapping[int, int]
) -> tuple[list[int], float]:
    """A shard for each span, the costliest first to the emptiest shard; the load of the fullest.

    faithful: shards of seats that stay where they are.
    """
    shards, loads = [faithful.get(span.seat, -1) for span in spans], [0.0] * threads
    shards = [shard if shard < threads else -1 for shard in shards]
    for shard, cost in zip(shards, costs, strict=True):
        if shard >= 0:
            loads[shard] += cost
    for index in sorted(
        (i for i, shard in enumerate(shards) if shard < 0), key=costs.__getitem__, reverse=True
    ):
        shards[index] = loads.index(min(loads))
        loads[shards[index]] += costs[index]
    return shards, max(loads)


@torch.inference_mode()
def _merged(
    spans: Sequence[Span], shares: Sequence[Sequence[int]], outcomes: Sequence[Outcome]
) -> Outcome:
    """The outcomes of all shares in the order of the spans."""
    starts, at = list[int](), 0
    for span in spans:
        starts.append(at)
        at += span.wanted
    rows = [
        [starts[index] + row for index in share for row in range(spans[index].wanted)]
        for share in shares
    ]
    hidden = outcomes[0].hidden.new_empty(at, outcomes[0].hidden.shape[1])  # [wanted, width]
    logits = outcomes[0].logits.new_empty(at, outcomes[0].logits.shape[1])  # [wanted, vocab]
    for where, outcome in zip(rows, outcomes, strict=True):
        index = torch.tensor(where, dtype=torch.int64)
        hidden.index_copy_(0, index, outcome.hidden)
        logits.index_copy_(0, index, outcome.logits)
    return Outcome(hidden, logits)
