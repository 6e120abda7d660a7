"""Whether an engine's tokens are what the model says: every output is replayed by the oracle,
near-ties allowed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch

from graders.engines.catalogue import EngineKind
from graders.engines.engine_protocol import EngineFailed, EngineFailure, ServedTrace
from graders.engines.loaded import DTYPE, HALF, INT8
from graders.workloads import Trace
from reference_engine import oracle
from reference_engine.model import Model

NARROW_TIES = {HALF: oracle.NARROW_TIE, INT8: oracle.NARROW_TIE}
"""How far below the likeliest a logit may lie in fp32 where an engine computed in so few bits."""


def tolerance(kind: EngineKind, dtype: str) -> float:
    """How far below the likeliest the logit of a token of this engine may lie that was given
    weights of `dtype`."""
    own = oracle.TIE if kind.tie is None else kind.tie
    return own if kind.exact else max(own, NARROW_TIES.get(dtype, 0.0))


def check_tokens(
    model: Model, trace: Trace, served: ServedTrace, kind: EngineKind, dtype: str = DTYPE
) -> None:
    """Raises EngineFailed at the first token that greedy decoding could not have emitted.

    kind: the engine that served, weights of `dtype`; see `tolerance`.
    """
    with _one_thread():
        for number, (request, output) in enumerate(
            zip(trace.requests, served.outputs, strict=True)
        ):
            wrong = oracle.replay(model, request.prompt, output, tolerance(kind, dtype))
            if wrong is not None:
                told = f"token {wrong} of request {number} is {_compared(model, request.prompt, output[: wrong + 1])}"
                raise EngineFailed(
                    EngineFailure.OTHER_TOKENS,
                    f"{kind.name} said something else than the model would: {told}",
                )


def _compared(model: Model, prompt: Sequence[int], output: Sequence[int]) -> str:
    """The last token of `output` and how it stands to the one that was due."""
    said, vocab = output[-1], model.config.vocab
    if not 0 <= said < vocab:
        return f"{said}; there are {vocab}"
    with torch.inference_mode():
        scores = model.head.float() @ oracle.hidden(model, [*prompt, *output[:-1]])[-1]
    due = int(scores.argmax())
    return f"{said}; {due} is the likeliest, by {float(scores[due] - scores[said]):.2g} in logits"


@contextmanager
def _one_thread() -> Iterator[None]:
    """The oracle's products are small: more threads would wait for each other longer than they
    compute."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
