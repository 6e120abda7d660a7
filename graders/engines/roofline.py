"""What serving one trace takes at least, whoever serves it: see `reference_engine.roofline`."""

from __future__ import annotations

from graders.workloads import Trace
from reference_engine.llama.config import LlamaConfig
from reference_engine.roofline import Work, serving_work


def trace_work(
    trace: Trace, config: LlamaConfig, *, tokens_a_step: int = 1, stored: float = 4, width: int = 4
) -> Work:
    """The work of `trace`. tokens_a_step: that one request can get of one step (guesses).
    stored: bytes of a weight; width: of a key's or value's number.
    """
    requests = [(request.prompt, request.max_new) for request in trace.requests]
    return serving_work(
        config,
        requests,
        seats=trace.max_seqs,
        shared=trace.cached,
        tokens_a_step=tokens_a_step,
        stored=stored,
        width=width,
    )
