"""Whether an engine's tokens are what the model says: every output is replayed by the oracle, near-ties allowed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from graders.engines.served import EngineFailed, Failure, Served
from graders.throughput.workloads import Trace
from reference_engine import oracle
from reference_engine.model import Model


def check_tokens(model: Model, trace: Trace, served: Served, tie: float | None = None) -> None:
    """Raises EngineFailed at the first token that greedy decoding could not have emitted.

    tie: how far below the likeliest its logit may lie (`EngineKind.tie`); None: as far as the oracle allows.
    """
    tolerance = oracle.TIE if tie is None else tie
    with _one_thread():
        for number, (request, output) in enumerate(zip(trace.requests, served.outputs, strict=True)):
            wrong = oracle.replay(model, request.prompt, output, tolerance)
            if wrong is not None:
                told = f"token {wrong} of request {number} is {output[wrong]}, which the model would not say there"
                raise EngineFailed(Failure.OTHER_TOKENS, told)


@contextmanager
def _one_thread() -> Iterator[None]:
    """The oracle's products are small: more threads would wait for each other longer than they compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
