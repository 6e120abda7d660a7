"""The scenarios of a race: the workload itself, its prompts alone, and decoding alone at one batch after the other."""

from __future__ import annotations

from dataclasses import dataclass, replace

from graders.workloads import Trace, TraceRequest, workload

OPENING, ANSWER, SHORTEST = 8, 64, 16
"""Of a decoding scenario: tokens of the prompts, tokens of the answers, and the fewest worth timing."""
PAGE = 32
"""Tokens by which engines round up what a request holds; the largest block size of any of them."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of trace that all engines serve. name: "whole", "prefill" or "decode"; batch: of a decoding scenario."""

    name: str
    batch: int = 0

    @property
    def title(self) -> str:
        """For tables and plots."""
        return f"decode at {self.batch}" if self.batch else self.name

    def trace(self, name: str, seed: int, *, model: str, scale: float) -> Trace:
        """A fresh trace of this scenario, drawn from the seed."""
        whole = workload(name, seed, model=model, scale=scale)
        if self.name == "whole":
            return whole
        if self.name == "prefill":
            requests = tuple(TraceRequest(request.prompt, 1) for request in whole.requests)
            return replace(whole, name=f"{name}, prefill", requests=requests)
        return replace(whole, name=f"{name}, {self.title}", requests=_decoding(whole, self.batch))


def scenarios(trace: Trace, batches: tuple[int, ...], *, apart: bool) -> tuple[Scenario, ...]:
    """What is raced on a workload with traces like `trace`; batches that do not fit into its memory are left out."""
    fitting = sorted({batch for batch in batches if batch <= trace.max_seqs and _answer(trace, batch) >= SHORTEST})
    decoding = tuple(Scenario("decode", batch) for batch in fitting)
    return (Scenario("whole"), *((Scenario("prefill"),) if apart else ()), *decoding)


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
