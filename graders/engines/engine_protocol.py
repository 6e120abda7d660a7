"""What an engine is told, what it serves, and the ways in which it can fail."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from graders.engines.loaded import Loaded
from graders.workloads import Trace


class EngineFailure(enum.StrEnum):
    """Why there is no figure of an engine."""

    ABSENT = "not installed"
    NOT_STARTED = "did not start"
    DIED = "died"
    HUNG = "hung"
    REFUSED = "raised an error"
    GARBLED = "broke the protocol"
    OTHER_COUNT = "another number of tokens"
    OTHER_TOKENS = "other tokens"
    OTHER_MODEL = "serves another model"


class EngineFailed(Exception):
    """One engine cannot go on: which failure, and one sentence for people."""

    def __init__(self, failure: EngineFailure, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = failure
        self.sentence = sentence


@dataclass(frozen=True, slots=True)
class LaunchConfig:
    """What every engine is started with, the same for all.

    model: a checkpoint folder. loaded: what an engine that has loaded it holds. max_len: the
    longest context asked for. kv_tokens: the KV memory. prefix_cache: it takes part; otherwise it
    is off. cores: processors that may be used, threads: how many threads compute. memory_share: of
    a GPU's memory. For our own engine: parts, files by slot; speculate, who guesses, and whether
    always or while it pays; watermark, blocks that it leaves free when it admits; arithmetic, of
    its products on a CPU; kv_dtype, of its keys and values there.
    """

    model: str
    max_len: int
    kv_tokens: int
    max_seqs: int
    loaded: Loaded
    block_size: int = 16
    device: str = "cpu"
    threads: int = 1
    cores: tuple[int, ...] = (0,)
    prefix_cache: bool = False
    memory_share: float = 0.5
    parts: Mapping[str, str] = field(default_factory=dict)
    speculate: str = ""
    always: bool = False
    watermark: int = 0
    arithmetic: str = "float32"
    kv_dtype: str = "float32"

    @property
    def dtype(self) -> str:
        """What the engine is to compute in."""
        return self.loaded.dtype

    def as_json(self) -> dict[str, Any]:
        """The question's `job`. What the engine must prove is not told: nobody can say it after us."""
        told = asdict(self)
        del told["loaded"]
        return told | {"dtype": self.dtype}


@dataclass(frozen=True, slots=True)
class ServedTrace:
    """One trace served. seconds: from the first byte sent to the last one received, by the grader's
    clock. cpu: seconds of processors that the engine used meanwhile, all its processes together; 0
    where that cannot be known.

    times: for every token, seconds after the trace was sent, by the engine's clock; arrivals: of
    the requests.
    """

    seconds: float
    outputs: tuple[tuple[int, ...], ...]
    times: tuple[tuple[float, ...], ...]
    arrivals: tuple[float, ...]
    cpu: float = 0.0

    @property
    def tokens(self) -> int:
        """Output tokens, which is what throughput counts."""
        return sum(map(len, self.outputs))

    @property
    def rate(self) -> float:
        """Output tokens a second."""
        return self.tokens / self.seconds

    @property
    def ttft(self) -> tuple[float, ...]:
        """Time to first token: seconds from each request's arrival."""
        return tuple(
            times[0] - arrival for times, arrival in zip(self.times, self.arrivals, strict=True)
        )

    @property
    def tpot(self) -> tuple[float, ...]:
        """Time per output token after the first, one number a request that has more than one."""
        return tuple(
            (times[-1] - times[0]) / (len(times) - 1) for times in self.times if len(times) > 1
        )


def read_served(answer: Mapping[str, Any], trace: Trace, seconds: float) -> ServedTrace:
    """An engine's answer, held against what was asked. Raises EngineFailed."""
    outputs, times = answer.get("outputs"), answer.get("times")
    if not _rows(outputs, int) or not _rows(times, float):
        raise EngineFailed(
            EngineFailure.GARBLED, "it sent something else than rows of tokens and of times"
        )
    counts = [len(row) for row in outputs or ()]
    if len(counts) != len(trace.requests):
        told = f"it answered {len(counts)} of {len(trace.requests)} requests"
        raise EngineFailed(EngineFailure.OTHER_COUNT, told)
    for number, (count, request) in enumerate(zip(counts, trace.requests, strict=True)):
        if count != request.max_new:
            told = f"request {number} got {count} tokens, {request.max_new} were asked for"
            raise EngineFailed(EngineFailure.OTHER_COUNT, told)
    arrivals = tuple(request.arrival for request in trace.requests)
    served = ServedTrace(
        seconds, tuple(map(tuple, outputs or ())), tuple(map(tuple, times or ())), arrivals
    )
    _check_times(served)
    return served


def _check_times(served: ServedTrace) -> None:
    for output, times, arrival in zip(served.outputs, served.times, served.arrivals, strict=True):
        if len(times) != len(output):
            raise EngineFailed(
                EngineFailure.GARBLED, f"it sent {len(times)} times for {len(output)} tokens"
            )
        if times and not (
            arrival <= times[0] and times[-1] <= served.seconds and list(times) == sorted(times)
        ):
            raise EngineFailed(
                EngineFailure.GARBLED, "its times run backwards, or beyond the grader's clock"
            )


def _rows(value: object, kind: type) -> bool:
    return isinstance(value, Sequence) and all(
        isinstance(row, Sequence) and all(type(item) in (kind, int) for item in row)
        for row in value
    )
