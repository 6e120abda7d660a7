"""The scenarios of a race: the workload itself, its prompts alone, decoding alone at one batch
after the other; or one request alone at one length after the other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import cycle, islice

from graders.engines.engine_protocol import ServedTrace
from graders.workloads import Trace, TraceRequest, workload
from reference_engine.roofline import Work

OPENING, ANSWER, SHORTEST = 8, 64, 16
"""Of a decoding scenario: tokens of the prompts, tokens of the answers, and the fewest worth timing."""
AFTER = 33
"""Tokens that are said after a prompt of some length; the first belongs to the prompt."""
SHORT = 1e-9
"""Seconds: what an engine tells in one message took no time between its tokens."""
PAGE = 32
"""Tokens by which engines round up what a request holds; the largest block size of any of them."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of trace that all engines serve.

    name: "whole", "prefill", "decode", or "length": one request alone, of which is told what its
    prompt took, as "prompt", and what each further token took, as "context". batch: of a decoding
    scenario; of the last three the tokens of the prompt.
    """

    name: str
    batch: int = 0

    @property
    def title(self) -> str:
        """For tables and plots."""
        return f"{self.name} at {self.batch}" if self.batch else self.name

    @property
    def views(self) -> tuple[Scenario, ...]:
        """As what its laps are told."""
        return (
            (Scenario("prompt", self.batch), Scenario("context", self.batch))
            if self.name == "length"
            else (self,)
        )

    def trace(self, name: str, seed: int, *, model: str, scale: float) -> Trace:
        """A fresh trace of this scenario, drawn from the seed."""
        whole = workload(name, seed, model=model, scale=scale)
        if self.name == "whole":
            return whole
        if self.name == "length":
            return _alone(whole, self.batch)
        if self.name == "prefill":
            requests = tuple(TraceRequest(request.prompt, 1) for request in whole.requests)
            return replace(whole, name=f"{name}, prefill", requests=requests)
        return replace(whole, name=f"{name}, {self.title}", requests=_decoding(whole, self.batch))

    def seconds(self, served: ServedTrace) -> float:
        """What a lap took: to the first token, from the first one on, or all of it."""
        if self.name not in ("prompt", "context"):
            return served.seconds
        times = served.times[0]
        return max(served.ttft[0] if self.name == "prompt" else times[-1] - times[0], SHORT)

    def tokens(self, trace: Trace) -> tuple[int, int]:
        """Of a lap: prompt tokens read and tokens said."""
        if self.name == "context":
            return 0, trace.tokens_out - 1
        return trace.tokens_in, 1 if self.name == "prompt" else trace.tokens_out

    def work(self, trace: Trace, of: Callable[[Trace], Work]) -> Work:
        """What a lap takes at least. of: what a whole trace does."""
        if self.name not in ("prompt", "context"):
            return of(trace)
        first = of(
            replace(trace, requests=tuple(TraceRequest(each.prompt, 1) for each in trace.requests))
        )
        every = of(trace)
        further = Work(every.operations - first.operations, every.moved - first.moved)
        return first if self.name == "prompt" else further


def scenarios(trace: Trace, batches: tuple[int, ...], *, apart: bool) -> tuple[Scenario, ...]:
    """What is raced on a workload with traces like `trace`; batches that do not fit into its memory
    are left out."""
    fitting = sorted(
        {
            batch
            for batch in batches
            if batch <= trace.max_seqs and _answer(trace, batch) >= SHORTEST
        }
    )
    decoding = tuple(Scenario("decode", batch) for batch in fitting)
    return (Scenario("whole"), *((Scenario("prefill"),) if apart else ()), *decoding)


def of_lengths(lengths: tuple[int, ...]) -> tuple[Scenario, ...]:
    """One request alone, with prompts of so many tokens."""
    return tuple(Scenario("length", length) for length in sorted(set(lengths)))


def dropped(batches: tuple[int, ...], chosen: tuple[Scenario, ...]) -> tuple[int, ...]:
    """The batches asked for that `scenarios` left out."""
    return tuple(sorted(set(batches) - {scenario.batch for scenario in chosen}))


def _decoding(whole: Trace, batch: int) -> tuple[TraceRequest, ...]:
    """So many short prompts at once, cut from the whole trace's, with answers of one length."""
    prompts = [request.prompt[:OPENING] for request in whole.requests]
    answer = _answer(whole, batch)
    return tuple(TraceRequest(prompts[number % len(prompts)], answer) for number in range(batch))


def _answer(trace: Trace, batch: int) -> int:
    """Tokens of each answer, so that all of them fit into the KV memory at once."""
    room = trace.kv_tokens // batch // PAGE * PAGE
    return min(ANSWER, room - OPENING)


def _alone(whole: Trace, length: int) -> Trace:
    """One request with a prompt of that length, said from the whole trace's one after the other,
    and room for it."""
    said = islice(cycle(token for request in whole.requests for token in request.prompt), length)
    blocks = 1 + -(-(length + AFTER + PAGE) // whole.block_size)
    alone = (TraceRequest(tuple(said), AFTER),)
    name = f"a prompt of {length}"
    return replace(
        whole,
        name=name,
        requests=alone,
        num_blocks=blocks,
        max_seqs=1,
        shared=False,
        cached=False,
        batch=0,
    )
