"""An engine in a worker of its own that serves traces while the grader holds the clock.

The clock runs from the first request sent to the last token received. Requests that arrive later
are sent when their time has come. Until the last has come the engine makes a few steps for each
question: as many as fit into the time before the next request. Nothing in the worker knows what is
still to come; what has come waits a few milliseconds at most.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NoReturn

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.replies import Raised
from graders.checking.workers import Workers
from graders.result import Outcome
from graders.sandbox import protocol
from graders.throughput.contest_side import ContestSide
from graders.throughput.part_time import Ran
from graders.throughput.step_cost import StepCost
from graders.workloads import Trace
from reference_engine.roofline import TokenWork

if TYPE_CHECKING:
    from graders.throughput.model_room import ModelRoom

SLOT = "throughput"
ALL = 0
ASK_LIMITS = {"cpu": 240.0, "wall": 120.0}
Output = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TimedRun:
    """One trace served: seconds by the grader's clock, and the tokens, which nobody has judged yet.

    steps: what the worker took for each pass, read by the grader; none of an engine that is no
    worker's."""

    seconds: float
    outputs: tuple[Output, ...]
    steps: tuple[StepCost, ...] = ()


class TimedEngine:
    """The engine with the parts that `workers` load. guesses: the medusa part is used, with the
    waiter's heads.

    side: everybody who belongs to it; `workers` alone if none is given. `still`, `cpu_seconds`: the
    side's. `serve` and `peak` raise Broken when the part fails, dies, hangs or tampers.
    """

    def __init__(
        self,
        context: CheckContext,
        workers: Workers,
        *,
        guesses: bool = False,
        side: ContestSide | None = None,
    ) -> None:
        self._context = dataclasses.replace(context, workers=workers, ask_limits=dict(ASK_LIMITS))
        self._guesses = guesses
        self._side = side or ContestSide([workers])
        self.still, self.cpu_seconds = self._side.still, self._side.cpu_seconds

    def serve(self, trace: Trace) -> TimedRun:
        """Serve the trace with a fresh engine, whose making is not timed, by a model in this
        process."""
        model = self._model(trace)
        recorder = self._recorder(trace, model)
        began = time.monotonic()
        if trace.requests[-1].arrival > 0:
            outputs = _serve_arriving(recorder, trace, began, model)
        else:
            model.resume()
            outputs = _serve_at_once(recorder, trace)
        seconds = time.monotonic() - began
        recorder.look()
        _refuse_strange(model, trace, outputs)
        return TimedRun(
            seconds, outputs, tuple(StepCost(*made.kind, made.seconds) for made in model.passes)
        )

    def peak(self, trace: Trace, effort: int = 1) -> tuple[float, TokenWork]:
        """Operations a second that this machine is measured to do at best, and the model's work for
        one token.

        effort: how many times as many samples as usual."""
        recorder = self._recorder(trace)
        value = _value(recorder, "peak", [effort], "peak()")
        peak, least, more = recorder.parsed(lambda: protocol.integers(value, 3))
        return float(peak), TokenWork(least, more)

    def calls(self, slot: str, given: Sequence[Any] = ()) -> PartCalls:
        """The part of `slot` alone, without its engine. given: what its driver is told. Raises
        Broken on failure."""
        return PartCalls(self._context, slot, given, self._side)

    def _model(self, trace: Trace) -> ModelRoom:
        from graders.throughput.model_room import ModelRoom  # torch
        from reference_engine.model import ModelError

        try:
            return ModelRoom(trace, guesses=self._guesses)
        except ModelError as unusable:
            raise Broken(
                f"Not timed: the model cannot be used: {unusable}.", outcome=Outcome.UNGRADED
            ) from None

    def _recorder(self, trace: Trace, model: ModelRoom | None = None) -> CallRecorder:
        context = (
            self._context if model is None else dataclasses.replace(self._context, told=model.told)
        )
        recorder = CallRecorder(context, SLOT, "engine")
        sizes = {
            "num_blocks": trace.num_blocks,
            "block_size": trace.block_size,
            "watermark": trace.watermark,
        }
        sizes["max_seqs"] = trace.max_seqs
        words = ", ".join(f"{name}={value}" for name, value in sizes.items())
        raised = recorder.new(
            [trace.model, trace.cached, self._guesses],
            sizes,
            f"Engine({trace.model}, {self._context.submission.name}, {words})",
        )
        if raised:
            _stopped(recorder, raised)
        return recorder


class PartCalls:
    """One part in its worker, called through `graders.sandbox.guest.<slot>_calls`; see
    `part_time.Side`.

    `run` raises Broken when the part fails, dies, hangs or tampers.
    """

    def __init__(
        self, context: CheckContext, slot: str, given: Sequence[Any], side: ContestSide
    ) -> None:
        self._context = context
        self.still, self.cpu_seconds = side.still, side.cpu_seconds
        self._recorder = CallRecorder(context, f"{slot}_calls", slot)
        raised = self._recorder.new(given, {}, "the part")
        if raised:
            _stopped(self._recorder, raised)

    def run(self, function: str, size: int, seed: int, times: int, *, idle: bool = False) -> Ran:
        """So many calls on inputs drawn from the seed; with `idle` a stand-in makes them."""
        del self._recorder.steps[1:]
        words = f"{function}(…)  # {times} calls, size {size}, seed {seed}"
        worker = self._context.worker
        before = worker.reading()
        reply, _ = self._recorder.call("run", [function, size, seed, times, idle], words)
        seconds = worker.reading().since(before)
        self._recorder.method = function
        if isinstance(reply, Raised):
            self._recorder.unexpected(reply, "an answer")
        (number,) = self._recorder.parsed(lambda: protocol.integers([reply.value], 1))
        return Ran(seconds, number)


def _serve_at_once(recorder: CallRecorder, trace: Trace) -> tuple[Output, ...]:
    requests = [[list(request.prompt), request.max_new] for request in trace.requests]
    value = _value(recorder, "serve", [requests], f"serve({trace.name}: {len(requests)} requests)")
    return recorder.parsed(lambda: _outputs(value, trace))


def _refuse_strange(model: ModelRoom, trace: Trace, outputs: Sequence[Output]) -> None:
    """INVALID where tokens came, or were computed on, that the model has not said and its heads
    have not guessed."""
    missing, unheard = model.unsaid(trace, outputs), model.unheard(trace)
    message = ""
    if missing:
        message = f"While it was timed, {missing} tokens came that no pass of the model has said."
    elif unheard:
        message = f"While it was timed, {unheard} tokens were computed on that neither model nor heads had said."
    if message:
        raise Broken(message, outcome=Outcome.INVALID)


class Pace:
    """How many steps to ask for at once: until the next request comes, but so many that asking
    costs next to nothing.

    LEAST: seconds. MOST: steps.
    """

    LEAST, MOST = 0.005, 16

    def __init__(self) -> None:
        self._step = float("inf")  # seconds; none is measured yet

    def steps(self, seconds: float) -> int:
        """As many as begin within so many seconds."""
        return max(1, min(self.MOST, math.ceil(max(seconds, self.LEAST) / self._step)))

    def note(self, steps: int, seconds: float) -> None:
        """So many took so long, the question included."""
        self._step = max(seconds / steps, 1e-6)


def _serve_arriving(
    recorder: CallRecorder, trace: Trace, began: float, model: ModelRoom
) -> tuple[Output, ...]:
    coming, outputs = list(trace.requests), list[list[int]]([] for _ in trace.requests)
    asked, pace = 0, Pace()
    while True:
        now = time.monotonic() - began
        arrived = [request for request in coming if request.arrival <= now]
        del coming[: len(arrived)]
        asked += len(arrived)
        wanted = [[list(request.prompt), request.max_new] for request in arrived]
        steps = pace.steps(coming[0].arrival - now) if coming else ALL
        model.resume()
        idle = _some_steps(recorder, steps, wanted, outputs[:asked])
        if not coming:
            return recorder.parsed(lambda: _outputs(outputs, trace))
        then = time.monotonic() - began
        if idle:
            time.sleep(max(0.0, coming[0].arrival - then))
        else:
            pace.note(steps, then - now)


def _some_steps(
    recorder: CallRecorder, steps: int, arrived: list[list[Any]], outputs: Sequence[list[int]]
) -> bool:
    """So many steps, or ALL that are left; what was said is added to `outputs`, of those who have
    come. Idle now?"""
    del recorder.steps[1:]
    value = _value(
        recorder,
        "steps",
        [arrived, steps],
        f"{steps or 'all'} steps with {len(arrived)} new requests",
    )

    def read() -> bool:
        if (
            type(value) is not list
            or len(value) != 2
            or type(value[0]) is not list
            or type(value[1]) is not bool
        ):
            raise protocol.ProtocolError("an answer that is not one")
        for event in value[0]:
            if type(event) is not list or len(event) != 2 or type(event[0]) is not int:
                raise protocol.ProtocolError("an answer that is not one")
            if not 0 <= event[0] < len(outputs):
                raise protocol.ProtocolError("tokens for a request that has not come")
            outputs[event[0]] += protocol.integers(event[1])
        return value[1]

    return recorder.parsed(read)


def _value(recorder: CallRecorder, method: str, args: list[Any], written: str) -> Any:
    reply, _ = recorder.call(method, args, written)
    if isinstance(reply, Raised):
        _stopped(recorder, reply)
    return reply.value


def _stopped(recorder: CallRecorder, raised: Raised) -> NoReturn:
    """Whatever it claims (no memory, no model): it counts as the machine's where the reference
    meets it too."""
    if raised.type == "PartError":
        message = f"The engine stopped while it was timed: {raised.text}."
        recorder.broken(message, got=raised.text, expected="all requests served", raised=raised)
    # the reference has served the same trace in the same engine
    if not raised.frames and not raised.leaving:
        message = f"The engine stopped while it was timed, as it does not with the course's own part: {raised}."
        recorder.broken(
            message, got=f"raised {raised}", expected="all requests served", raised=raised
        )
    recorder.unexpected(raised, "all requests served")


def _outputs(value: Any, trace: Trace) -> tuple[Output, ...]:
    if type(value) is not list or len(value) != len(trace.requests):
        raise protocol.ProtocolError("another number of outputs than requests")
    return tuple(tuple(protocol.integers(text)) for text in value)
