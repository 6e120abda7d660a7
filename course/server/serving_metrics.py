"""What /metrics tells, in Prometheus's text format, under vLLM's names where the thing is the same."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence

from course.server.engine_thread import EngineThread

FIRST = (
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 20.0,
    40.0, 80.0,
)  # fmt: skip
BETWEEN = (
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 20.0, 40.0,
    80.0,
)  # fmt: skip
WHOLE = (
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0,
)  # fmt: skip


class Histogram:
    """Seconds, counted in buckets."""

    def __init__(self, bounds: Sequence[float]) -> None:
        self._bounds, self._counts, self._sum = bounds, [0] * (len(bounds) + 1), 0.0

    def note(self, seconds: float, times: int = 1) -> None:
        """So many observations of the same length."""
        self._counts[bisect_left(self._bounds, seconds)] += times
        self._sum += seconds * times

    def lines(self, name: str, label: str) -> Iterator[str]:
        """The histogram in Prometheus's format; `label` is `key="value"`."""
        yield f"# TYPE {name} histogram"
        seen = 0
        for bound, count in zip((*map(str, self._bounds), "+Inf"), self._counts, strict=True):
            seen += count
            yield f'{name}_bucket{{{label},le="{bound}"}} {seen}'
        yield f"{name}_sum{{{label}}} {self._sum:.9g}"
        yield f"{name}_count{{{label}}} {seen}"


class ServingMetrics:
    """Counts of a server. `ended[reason]`: answers by why they ended."""

    def __init__(self, model: str) -> None:
        escaped = model.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
        self._label = f'model_name="{escaped}"'
        self.first, self.between, self.whole = (
            Histogram(FIRST),
            Histogram(BETWEEN),
            Histogram(WHOLE),
        )
        self.prompt_tokens = 0
        self.ended: dict[str, int] = dict.fromkeys(("stop", "length", "abort", "error"), 0)

    def text(self, thread: EngineThread) -> str:
        """Everything, as one page."""
        return (
            "\n".join([*self._gauges(thread), *self._counters(thread), *self._histograms()]) + "\n"
        )

    def _gauges(self, thread: EngineThread) -> Iterator[str]:
        load = thread.load
        pairs = (
            ("vllm:num_requests_running", load.running),
            ("vllm:num_requests_waiting", load.waiting),
            ("vllm:kv_cache_usage_perc", load.kv_usage),
        )
        for name, value in pairs:
            yield f"# TYPE {name} gauge"
            yield f"{name}{{{self._label}}} {value:.6g}"

    def _counters(self, thread: EngineThread) -> Iterator[str]:
        cached, guessed = thread.total("cached"), thread.total("guessed")
        pairs = (
            ("vllm:num_preemptions_total", thread.total("preemptions")),
            ("vllm:prompt_tokens_total", self.prompt_tokens),
            ("vllm:generation_tokens_total", thread.total("emitted")),
            ("vllm:prefix_cache_queries_total", self.prompt_tokens),
            ("vllm:prefix_cache_hits_total", cached),
            ("vllm:spec_decode_num_draft_tokens_total", guessed),
            ("vllm:spec_decode_num_accepted_tokens_total", thread.total("accepted")),
            ("vllm:iteration_tokens_total", thread.total("computed")),
        )
        for name, value in pairs:
            yield f"# TYPE {name} counter"
            yield f"{name}{{{self._label}}} {value}"
        yield "# TYPE vllm:request_success_total counter"
        for reason, count in self.ended.items():
            yield f'vllm:request_success_total{{{self._label},finished_reason="{reason}"}} {count}'

    def _histograms(self) -> Iterator[str]:
        yield from self.first.lines("vllm:time_to_first_token_seconds", self._label)
        yield from self.between.lines("vllm:inter_token_latency_seconds", self._label)
        yield from self.whole.lines("vllm:e2e_request_latency_seconds", self._label)
