"""Steps recorded once and replayed: one launch for a whole forward pass.

A step of a new shape runs as it is the first time (that compiles its kernels), is recorded the
second time, and is only replayed from then on. Where recording fails, steps run as they are for
good, and `why` says it in one sentence.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

import torch

T = TypeVar("T")
Recorder = Callable[[Callable[[], T]], tuple[Callable[[], None], T]]
"""Takes a step and returns (replay, results): replay() leaves the results of a new run in the same `results`."""


class CudaRecorder:
    """Records with CUDA graphs that share one memory pool: no two of them run at once."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._pool = torch.cuda.graph_pool_handle()

    def __call__(self, step: Callable[[], T]) -> tuple[Callable[[], None], T]:
        """See `Recorder`. Raises RuntimeError when the step cannot be captured."""
        graph = torch.cuda.CUDAGraph()
        torch.cuda.synchronize(self._device)
        with torch.cuda.graph(graph, pool=self._pool):
            results = step()
        replay: Callable[[], None] = graph.replay
        return replay, results


class Graphs(Generic[T]):
    """Recorded steps by their key. recorder: None runs every step as it is.

    why: why nothing is recorded; "" while it is.
    """

    def __init__(self, recorder: Recorder[T] | None, why: str = "") -> None:
        self._recorder = recorder
        self._recorded: dict[Hashable, tuple[Callable[[], None], T]] = {}
        self._seen: set[Hashable] = set()
        self.why = why if recorder is None else ""

    @property
    def count(self) -> int:
        """How many steps are recorded."""
        return len(self._recorded)

    def run(self, key: Hashable, step: Callable[[], T], *, record: bool = True) -> T:
        """The results of `step`: the same computation on the same buffers whenever its key is the
        same."""
        if key in self._recorded:
            replay, results = self._recorded[key]
            replay()
            return results
        if self._recorder is None or not record or key not in self._seen:
            self._seen.add(key)
            return step()
        return self._record(self._recorder, key, step)

    def _record(self, recorder: Recorder[T], key: Hashable, step: Callable[[], T]) -> T:
        try:
            replay, results = recorder(step)
        except RuntimeError as error:
            first = (str(error).strip() or type(error).__name__).splitlines()[0]
            self._recorder = None
            self.why = (
                f"a CUDA graph could not be captured ({first}); steps are launched one by one"
            )
            warnings.warn(self.why, RuntimeWarning, stacklevel=3)
            return step()
        self._recorded[key] = (replay, results)
        replay()
        return results
