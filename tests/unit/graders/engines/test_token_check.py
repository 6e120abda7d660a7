"""What an engine says is held against the model: other tokens are told with those that were due,
near-ties pass."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from graders.checking.failure import Broken
from graders.engines.catalogue import KINDS
from graders.engines.engine_protocol import EngineFailed, EngineFailure, ServedTrace
from graders.engines.loaded import HALF
from graders.engines.token_check import NARROW_TIES, check_tokens
from graders.throughput.opponents import LiveEngine
from graders.workloads import Trace, TraceRequest
from reference_engine import oracle
from reference_engine.model_loader import load_model

MODEL = load_model("random:tiny")
TRACE = Trace(
    "short",
    0,
    "random:tiny",
    (TraceRequest((5, 6, 7), 4), TraceRequest((9,), 3)),
    num_blocks=65,
    max_seqs=4,
)
RIGHT = tuple(
    tuple(oracle.greedy(MODEL, request.prompt, request.max_new)) for request in TRACE.requests
)
KIND = KINDS["vllm"]


def served(*outputs: tuple[int, ...]) -> ServedTrace:
    return ServedTrace(
        1.0, outputs, tuple((0.5,) * len(output) for output in outputs), (0.0,) * len(outputs)
    )


def second_best(number: int, at: int) -> tuple[int, float]:
    """The token that is likeliest but for the right one there, and how far below that it lies."""
    scores = oracle.logits(MODEL, [*TRACE.requests[number].prompt, *RIGHT[number][:at]])[-1]
    (best, other), (_, token) = scores.topk(2)
    return int(token), float(best - other)


def test_what_the_model_says_is_right() -> None:
    check_tokens(MODEL, TRACE, served(*RIGHT), KIND)


def test_another_token_is_told_with_the_one_that_was_due() -> None:
    token, gap = second_best(1, 2)
    with pytest.raises(EngineFailed) as caught:
        check_tokens(MODEL, TRACE, served(RIGHT[0], (*RIGHT[1][:2], token)), KIND)
    assert caught.value.failure is EngineFailure.OTHER_TOKENS
    assert caught.value.sentence == (
        f"vllm said something else than the model would: token 2 of request 1 is {token}; {RIGHT[1][2]} is the "
        f"likeliest, by {gap:.2g} in logits"
    )


def test_a_token_that_is_none_is_told() -> None:
    vocab = MODEL.config.vocab
    with pytest.raises(EngineFailed, match=f"token 0 of request 0 is {vocab}; there are {vocab}$"):
        check_tokens(MODEL, TRACE, served((vocab, *RIGHT[0][1:]), RIGHT[1]), KIND)


def test_how_near_a_tie_must_be_is_the_engines_own_affair() -> None:
    token, gap = second_best(1, 2)
    nearly = served(RIGHT[0], (*RIGHT[1][:2], token))
    check_tokens(MODEL, TRACE, nearly, replace(KIND, tie=gap * 1.01))
    with pytest.raises(EngineFailed):
        check_tokens(MODEL, TRACE, nearly, replace(KIND, tie=gap * 0.99))


def test_arithmetic_in_16_bits_is_let_pass_a_little_and_only_where_it_is_done() -> None:
    half = load_model("random:tiny", dtype=torch.bfloat16)
    right = [oracle.greedy(half, request.prompt, request.max_new) for request in TRACE.requests]
    scores = oracle.logits(half, TRACE.requests[0].prompt)[-1]
    gaps = scores.max() - scores
    near, far = int((gaps + (gaps == 0) * 9).argmin()), int(gaps.argmax())
    assert 0 < float(gaps[near]) < NARROW_TIES[HALF] < float(gaps[far])
    rest = oracle.greedy(half, [*TRACE.requests[0].prompt, near], TRACE.requests[0].max_new - 1)
    nearly = served((near, *rest), tuple(right[1]))
    check_tokens(half, TRACE, nearly, KIND, HALF)
    for kind, output in (
        (KINDS["reference"], nearly),
        (KIND, served((far, *rest), tuple(right[1]))),
    ):
        with pytest.raises(EngineFailed):
            check_tokens(half, TRACE, output, kind, HALF)


@pytest.mark.parametrize("wrong", [False, True])
def test_a_live_engine_is_held_against_the_model_too(wrong: bool) -> None:
    said = served(RIGHT[0], (*RIGHT[1][:2], second_best(1, 2)[0])) if wrong else served(*RIGHT)
    driver: Any = SimpleNamespace(
        kind=KIND,
        job=SimpleNamespace(dtype="float32"),
        resume=lambda: None,
        flush=lambda: None,
        pause=lambda: None,
        serve=lambda trace: said,
    )
    if wrong:
        with pytest.raises(Broken, match="vllm said something else than the model would"):
            LiveEngine(driver, MODEL).serve(TRACE)
    else:
        assert LiveEngine(driver, MODEL).serve(TRACE).outputs == RIGHT
