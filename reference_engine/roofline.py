"""The least time that serving requests can take: work that no engine can leave out, over what the
machine can do.

    work = serving_work(config, requests, seats=64)      operations, and bytes that must move
    roof = Roof(measure(), again=measure)                ceilings; who measures them: `reference_engine.ceilings`
    roof.watch(work, seconds, "vllm")                    somebody did it in so long
    roof.ceilings.seconds(work) / seconds                a share, 1 at most

A ceiling is what nobody exceeds, but a measurement can only come out too low: what disturbs it
lengthens. So whoever comes above a ceiling has it measured again, with more effort; who still is
above it has shown what the machine can do, and the ceiling is raised to that, and says so
(`RaisedCeiling`). Nobody is to blame for having been faster than a measurement. There is one speed
that is no measurement: the multipliers of all cores, every cycle, at the highest clock there is
(`Processor.theoretical_peak`). Nobody who does the work is faster than that; who seems to be has
not done it. Where a processor is not known, `FAR` times what was measured again stands in for it.
Imports no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from reference_engine.llama.config import LlamaConfig

FAR = 3.0
"""Times the measured peak: nobody is above that by luck, where it is not known what the processor can do."""
SHORT = 1.25
"""Times the measured peak: the theoretical one is no lower, whatever the processor says of itself."""
Asked = tuple[Sequence[int], int]
"""A request: its prompt, and how many tokens it is to be given."""


@dataclass(frozen=True, slots=True)
class Work:
    """What has to be done at least. operations: of products. moved: bytes that are read."""

    operations: float
    moved: float = 0.0


@dataclass(frozen=True, slots=True)
class Ceilings:
    """What the machine can do at most. peak: operations a second. bandwidth: bytes a second, of a
    read as large as the weights (from a cache, when they fit into one).
    """

    peak: float
    bandwidth: float = math.inf

    def seconds(self, work: Work) -> float:
        """The least time: operations and reads may overlap, so the longer of the two counts."""
        return max(work.operations / self.peak, work.moved / self.bandwidth)

    def above(self, other: Ceilings) -> Ceilings:
        """The higher one of each."""
        return Ceilings(max(self.peak, other.peak), max(self.bandwidth, other.bandwidth))


@dataclass(frozen=True, slots=True)
class RaisedCeiling:
    """A ceiling that somebody came above. ceiling: which one. measured: the best of all
    measurements of it. shown: by `who`, who must have done so much a second. possible: false if no
    processor of this kind can.
    """

    ceiling: Literal["peak", "bandwidth"]
    measured: float
    shown: float
    who: str
    possible: bool = True

    def __str__(self) -> str:
        unit = "Gflop/s" if self.ceiling == "peak" else "GB/s"
        shown, measured = f"{self.shown / 1e9:.4g}", f"{self.measured / 1e9:.4g}"
        told = f"{self.who} did {shown} {unit} where {measured} were measured, again too"
        return (
            f"{told}: the roof is raised to it"
            if self.possible
            else f"{told}, more than this processor can do"
        )


class Roof:
    """The ceilings of one run: measured again when somebody comes above them, raised when he stays
    above.

    again: measures once more. limit: operations a second that nobody can exceed; infinite: unknown.
    """

    def __init__(
        self, ceilings: Ceilings, again: Callable[[], Ceilings], *, limit: float = math.inf
    ) -> None:
        self.ceilings, self._measured, self._again, self._limit = ceilings, ceilings, again, limit
        self._raised: dict[str, RaisedCeiling] = {}

    @property
    def raised(self) -> tuple[RaisedCeiling, ...]:
        """Ceilings that are higher than what was measured, each with whoever came highest."""
        return tuple(self._raised.values())

    @property
    def limit(self) -> float:
        """Operations a second that nobody who does the work exceeds, as far as is known so far."""
        peak = self._measured.peak
        return FAR * peak if math.isinf(self._limit) else max(self._limit, SHORT * peak)

    def watch(self, work: Work, seconds: float, who: str) -> None:
        """Note that `who` did the work in so many seconds. Afterwards `ceilings` allow it. Above 0
        seconds."""
        if self.ceilings.seconds(work) <= seconds:
            return
        self._measured = self._measured.above(self._again())
        self.ceilings = self.ceilings.above(self._measured)
        shown, best = Ceilings(work.operations / seconds, work.moved / seconds), self._measured
        if shown.peak > self.ceilings.peak:
            self._raised["peak"] = RaisedCeiling(
                "peak", best.peak, shown.peak, who, possible=shown.peak <= self.limit
            )
        if shown.bandwidth > self.ceilings.bandwidth:
            self._raised["bandwidth"] = RaisedCeiling(
                "bandwidth", best.bandwidth, shown.bandwidth, who
            )
        self.ceilings = self.ceilings.above(shown)
        self._raised = {
            name: replace(each, measured=getattr(best, name))
            for name, each in self._raised.items()
            if each.shown > getattr(best, name)  # what a later measurement reaches is measured
        }


# ---------------------------------------------------------------- work


@dataclass(frozen=True, slots=True)
class TokenWork:
    """Multiply-adds that products with weights take for one token. least: for its keys and values
    in every layer. more: if the model is to say what comes after it, which alone needs the whole
    last layer and the head.
    """

    least: int
    more: int


def token_work(config: LlamaConfig) -> TokenWork:
    """Of one token. Norms are left out: an engine may fold their weights into those that follow."""
    keys = 2 * config.width * config.keys
    layer = _layer(config)
    return TokenWork(layer * (config.layers - 1) + keys, layer - keys + config.width * config.vocab)


def weights_read(config: LlamaConfig) -> int:
    """Numbers that a step which says a token reads of the weights: every matrix, of the embedding
    only rows."""
    return _layer(config) * config.layers + config.width * config.vocab


def serving_work(
    config: LlamaConfig,
    requests: Sequence[Asked],
    *,
    seats: int,
    shared: bool,
    tokens_a_step: int = 1,
    width: int = 4,
    stored: float = 4,
) -> Work:
    """What serving these requests takes at least, counted in the engine's favour.

    Weights are read once a step, and steps are as few as can be: `seats` requests at once,
    `tokens_a_step` for each (guesses). shared: there is a prefix cache, so an opening is computed
    once, and read by nobody. width: bytes of a number of keys and values; stored: of the weights.
    """
    heads = borrowed(requests) if shared else [0] * len(requests)
    each, asked = token_work(config), [wanted for _, wanted in requests]
    tokens = context = decoded = context_of_said = 0
    for (prompt, wanted), head in zip(requests, heads, strict=True):
        end = len(prompt) + wanted - 1  # the last token is said, and computed by nobody
        tokens += end - head
        context += (end * (end + 1) - head * (head + 1)) // 2
        context_of_said += sum(range(len(prompt), end + 1))
        decoded += sum(range(len(prompt) - head, end - head))
    attention = 4 * config.queries * ((config.layers - 1) * context + context_of_said)
    operations = 2 * (each.least * tokens + each.more * sum(asked)) + attention
    steps = -(-max(max(asked), -(-sum(asked) // seats)) // tokens_a_step)
    keys = 2 * config.layers * config.keys * decoded / tokens_a_step
    return Work(operations, float(stored) * weights_read(config) * steps + float(width) * keys)


def borrowed(requests: Sequence[Asked]) -> list[int]:
    """Of each request, the tokens of its prompt that a prefix cache may know, in the best order of
    requests.

    They are what another prompt begins with, and, beyond a whole prompt, what its answer may have
    been. The last token of a prompt is always computed.
    """
    known, answers = set[int](), dict[int, int]()
    found = [0] * len(requests)
    for index in sorted(range(len(requests)), key=lambda index: tuple(requests[index][0])):
        prompt, wanted = requests[index]
        chain = reach = 0
        for place, token in enumerate(prompt):
            chain = hash((chain, token))
            if found[index] == place < len(prompt) - 1 and (chain in known or place < reach):
                found[index] += 1
            known.add(chain)
            reach = max(reach, place + answers.get(chain, 0))
        answers[chain] = max(wanted, answers.get(chain, 0))
    return found


def _layer(config: LlamaConfig) -> int:
    """Numbers in the matrices of a layer."""
    return config.width * (2 * config.queries + 2 * config.keys + 3 * config.inner)
