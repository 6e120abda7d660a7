"""The engine serves requests with any mix of parts, and finds the part to blame when it goes wrong."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace

from course.playground import part_mix
from course.watchdog import stall_limit
from reference_engine import oracle
from reference_engine.engine import Engine
from reference_engine.kv_dtype import KVDtype
from reference_engine.metrics import Metrics, StepRecord
from reference_engine.model import Model
from reference_engine.parts import PartError, Parts
from reference_engine.slots import Request
from reference_engine.waiter.corpus import END, Dialogue

LONGEST_ANSWER = 64


@dataclass(frozen=True, slots=True)
class EngineSizes:
    """How large an engine is: KV blocks and their tokens, seats, tokens a step. keep_trace: record
    its steps. kv_dtype: what it keeps KV as.
    """

    num_blocks: int
    block_size: int = 16
    max_seqs: int = 64
    token_budget: int = 512
    keep_trace: bool = False
    kv_dtype: KVDtype = KVDtype.FP32

    @property
    def tie(self) -> float:
        """How far below the likeliest the logit of a token may lie: KV that is rounded may be
        rounded otherwise."""
        return oracle.TIE if self.kv_dtype is KVDtype.FP32 else oracle.NARROW_TIE


@dataclass(frozen=True, slots=True)
class ServedRequests:
    """What every request got, the engine's counters, seconds from first request to last token, its
    steps if kept."""

    outputs: tuple[tuple[int, ...], ...]
    metrics: Metrics
    seconds: float
    trace: tuple[StepRecord, ...] = ()


def requests(model: Model, dialogues: Sequence[Dialogue]) -> list[Request]:
    """One request a dialogue: the menu, the table, the question."""
    end = model.tokenizer.token_to_id(END)
    prompts = [list(model.tokenizer.encode(each.prompt(0)).ids) for each in dialogues]
    return [
        Request(number, prompt, LONGEST_ANSWER, eos=end) for number, prompt in enumerate(prompts)
    ]


def serve(
    model: Model,
    parts: Parts,
    asked: Sequence[Request],
    sizes: EngineSizes,
    files: Collection[str] = (),
) -> ServedRequests:
    """Serve all of them, arriving at once. Raises PartError when a part breaks its contract on the
    way.

    files: those of parts that may never come back.
    """
    engine = Engine(
        model,
        parts,
        num_blocks=sizes.num_blocks,
        block_size=sizes.block_size,
        max_seqs=sizes.max_seqs,
        token_budget=sizes.token_budget,
        keep_trace=sizes.keep_trace,
        speculator=part_mix.speculator(model, parts),
        kv_dtype=sizes.kv_dtype,
    )
    start = time.perf_counter()
    with stall_limit(lambda: engine.metrics.steps, files):
        outputs = engine.generate([replace(request, output=[]) for request in asked])
    seconds = time.perf_counter() - start
    return ServedRequests(tuple(map(tuple, outputs)), engine.metrics, seconds, tuple(engine.trace))


def first_wrong(
    model: Model, asked: Sequence[Request], served: ServedRequests, sizes: EngineSizes
) -> tuple[int, int] | None:
    """(request, index of the token) of the first token that the oracle would not have said; None
    when all are right."""
    for number, (request, output) in enumerate(zip(asked, served.outputs, strict=True)):
        wrong = oracle.replay(model, request.prompt, output, sizes.tie, sizes.kv_dtype)
        if wrong is not None:
            return number, wrong
    return None


def trial(
    model: Model,
    choices: Sequence[part_mix.PartChoice],
    asked: Sequence[Request],
    sizes: EngineSizes,
) -> tuple[ServedRequests | None, str]:
    """Serve with a mix; what was served, and what went wrong, "" for nothing."""
    try:
        files = [str(choice.path) for choice in choices if choice.source != "solutions"]
        served = serve(model, part_mix.parts(choices), asked, sizes, files)
    except PartError as error:
        path = next((choice.path for choice in choices if choice.exercise.slot == error.slot), None)
        return None, part_mix.blame(error, path) if path else str(error)
    wrong = first_wrong(model, asked, served, sizes)
    if wrong is None:
        return served, ""
    return (
        served,
        f"token {wrong[1]} of request {wrong[0] + 1} is not what the model says without any of the parts.",
    )


def culprit(
    model: Model,
    choices: Sequence[part_mix.PartChoice],
    asked: Sequence[Request],
    sizes: EngineSizes,
) -> part_mix.PartChoice | None:
    """The one choice whose replacement by the solution repairs the mix; None when no single one
    does."""
    for place, choice in enumerate(choices):
        if choice.source == "solutions":
            continue
        repaired = [
            *choices[:place],
            part_mix.choose(choice.exercise.number, "solutions", None),
            *choices[place + 1 :],
        ]
        if not trial(model, repaired, asked, sizes)[1]:
            return choice
    return None
