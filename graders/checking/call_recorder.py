"""Where a trace is played: one fresh object in the worker, one line of story for every call.

`CallRecorder` knows no exercise. It sends a call, turns death, hanging and tampering into `Broken`,
and hands back what the part returned or raised. An exercise's judge compares that with its
specification and calls `broken` at the first deviation.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, NoReturn, TypeVar

from graders.checking.check_context import CheckContext
from graders.checking.diagnosis import Diagnostician
from graders.checking.failure import Broken, Deviation, Step
from graders.checking.replies import (
    Raised,
    Reply,
    Shown,
    exception_of,
    one_call,
    outcome_of,
    outcomes_of,
    replies_of,
    shown,
)
from graders.checking.transport import Lost, Transport, overslept
from graders.result import Location, Outcome, Reason, Story
from graders.sandbox import protocol

T = TypeVar("T")
Calls = Sequence[tuple[str, Sequence[Any]]]  # a method and its arguments, each
FASTEST = 1e-8  # seconds of CPU time: no call of a Python function costs less


class CallRecorder:
    """One object of the part, on which calls are made in order.

    slot: which part. label: how the story calls the object ("bm"). imports: what a script of the
    story begins with, where what is written is Python; "" where it is not. Every method below
    raises Broken when the part dies, hangs or tampers; the story so far is attached. CALLS: of
    methods that the driver has and the part has not, which of the part's they call.
    """

    CALLS: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    def __init__(self, context: CheckContext, slot: str, label: str, imports: str = "") -> None:
        self.context = context
        self.slot = slot
        self.label = label
        self._imports = imports
        self.steps: list[Step] = []
        self.method, self.awaited = "__init__", "an answer"
        self._transport = Transport(context)
        self._diagnostician = Diagnostician(context.submission, context.exercise.class_name)
        self._played: list[Any] | None = None
        self._trouble: Broken | None = None
        self._lost: Lost | None = None
        # the longest while a trace is played slowly: seconds, method, steps until then
        self._nap = (0.0, "", 0)

    def play(
        self,
        args: Sequence[Any],
        keywords: Mapping[str, Any],
        written: str,
        moves: Sequence[Any],
        code: str = "",
    ) -> Raised | None:
        """Make the object and play a whole trace on it in one go, for speed; the moves are the
        driver's affair.

        Returns what `new` returns; then `next` tells of each move in turn, and `finish` ends the
        trace. When the part dies or hangs on the way, the trace is played again from the start, one
        move at a time, to see where.
        """
        self._waiting = list(moves)
        self.context.called |= {
            move[0] for move in moves if type(move) in (list, tuple) and type(move[0]) is str
        }
        self._make(written, code)
        fresh = {"slot": self.slot, "args": list(args), "keywords": dict(keywords)}
        try:
            answer = self._ask("trace", fresh=fresh, moves=self._waiting)
        except Broken as trouble:
            self._trouble = trouble
            self.steps.clear()
            return self.new(args, keywords, written, code)
        if "x" in answer:
            raised = self.parsed(lambda: exception_of(answer))
            self._outcome_shown(raised)
            return raised
        self._played = self.parsed(lambda: outcomes_of(answer, len(moves)))
        return None

    def next(self, method: str, written: str, code: str = "") -> tuple[Reply, Any]:
        """What the next move of the trace came to, and the driver's snapshot after it. code: see
        `Step`."""
        self.method = method
        self.tell(f"{self.label}.{written}", code=code)
        move = self._waiting.pop(0)
        if self._played is None:
            answer = self._ask("trace", fresh=None, moves=[move])
            outcome = self.parsed(lambda: outcomes_of(answer, 1))[0]
        else:
            outcome = self._played.pop(0)
        reply, seen = self.parsed(lambda: outcome_of(outcome))
        self._outcome_shown(reply)
        return reply, seen

    @property
    def slow(self) -> bool:
        """The trace is played one move at a time, because something went wrong when it was played
        in one go."""
        return self._played is None

    def instead(self, count: int, moves: Sequence[Any]) -> None:
        """Make these moves in the place of the next `count`; only while `slow`."""
        self._waiting[:count] = moves

    def finish(self) -> None:
        """The trace is over. Broken if it went wrong at first and nothing was found when it was
        played slowly.

        A part that took too long the first time only was held up by something else; one that slept
        was not.
        """
        if self._trouble is None or (
            self._trouble.outcome is Outcome.TIMEOUT and not self._transport.watching
        ):
            return
        seconds, self.method, count = self._nap
        if seconds and self._lost is not None:
            del self.steps[count:]
            self._ended(overslept(self.method, self._lost, seconds))
        raise self._trouble

    def new(
        self, args: Sequence[Any], keywords: Mapping[str, Any], written: str, code: str = ""
    ) -> Raised | None:
        """Make the object; `written` is the line of the story. None, or what the constructor
        raised."""
        self.method = "__init__"
        self._make(written, code)
        answer = self._ask("new", slot=self.slot, args=list(args), keywords=dict(keywords))
        if not answer:
            return None
        raised = self.parsed(lambda: exception_of(answer))
        self._outcome_shown(raised)
        return raised

    def call(
        self, method: str, args: Sequence[Any], written: str, watch: Any = None
    ) -> tuple[Reply, Any]:
        """Call a method; what it returned or raised, and the driver's snapshot after it (None
        without `watch`)."""
        self.method = method
        self.context.called.add(method)
        self.tell(f"{self.label}.{written}", code=self.code_of(method, args))
        answer = self._ask("call", calls=[[method, list(args)]], watch=watch)
        reply, seen = self.parsed(lambda: one_call(answer, watch is not None))
        self._outcome_shown(reply)
        return reply, seen

    def tell(self, call: str, answer: str = "", code: str = "") -> None:
        """Add a line to the story."""
        self.steps.append(Step(call, answer, code or (f"answer = {call}" if self._imports else "")))

    def code_of(self, method: str, args: Sequence[Any]) -> str:
        """The Python of a call, where what is written for it is none."""
        return ""

    def _make(self, written: str, code: str) -> None:
        call = f"{self.label} = {written}"
        self.steps.append(Step(call, code=code or (call if self._imports else "")))

    def again(self, calls: Calls, times: int) -> float:
        """Make the calls so many times over, for their cost alone: seconds of the worker's CPU
        time.

        Broken if one raises, or if none was made.
        """
        before = self.context.worker.cpu_seconds()
        answer = self._ask_all("again", calls, times=times)
        if answer:
            self._refuse_raised(answer, calls)
        spent = self.context.worker.cpu_seconds() - before
        self._refuse_faster_than_a_call(spent, times * len(calls))
        return spent

    def answered(self, calls: Calls, times: int) -> list[Any]:
        """Make the calls so many times over in the ordinary way, each answered; what the last round
        returned.

        Broken if one raises. For their cost where nothing tells a part that it is the cost that
        counts.
        """
        answer = self._ask_all("call", [*calls] * times, watch=None)
        replies = self.parsed(lambda: replies_of(answer, times * len(calls)))
        values = []
        for (method, _), reply in zip([*calls] * times, replies, strict=True):
            self.method = method
            if isinstance(reply, Raised):
                self.blame(reply, [method])
                self.unexpected(reply, "no exception")
            values.append(reply.value)
        return values[-len(calls) :]

    def _ask_all(self, what: str, calls: Calls, **how: Any) -> Any:
        self.method = calls[0][0]
        return self._ask(what, calls=[[method, list(args)] for method, args in calls], **how)

    def _refuse_raised(self, answer: Any, calls: Calls) -> None:
        raised = self.parsed(lambda: exception_of(answer))
        self.blame(raised, [method for method, _ in calls])
        self.unexpected(raised, "no exception")

    def _refuse_faster_than_a_call(self, spent: float, count: int) -> None:
        if spent < FASTEST * count:
            message = f"{count} calls of `{self.method}` took {spent * 1e6:.0f} µs of CPU time: they were not made."
            broken = self.breach(
                message, got=f"{spent / count * 1e9:.1f} ns a call", expected="calls that are made"
            )
            broken.outcome = Outcome.INVALID
            raise broken

    def shifts(self, calls: Calls, least: int) -> list[int]:
        """Make each call once; the indices of those that moved a whole list of at least so many
        items."""
        answer = self._ask_all("shifts", calls, least=least)
        if "x" in answer:
            self.unexpected(self.parsed(lambda: exception_of(answer)), "no exception")
        found = self.parsed(lambda: protocol.integers(answer.get("shifts")))
        return [index for index in found if 0 <= index < len(calls)]

    def tally(self, calls: Calls, most: int) -> list[int]:
        """Make each call once; the bytecode instructions of the part that each executed, `most` at
        most.

        Broken if one raises. Deterministic, but blind to loops in C: those are found by their time.
        """
        answer = self._ask_all("tally", calls, most=most)
        if "x" in answer:
            self._refuse_raised(answer, calls)
        return self.parsed(lambda: protocol.integers(answer.get("tally"), len(calls)))

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Meanwhile the worker collects no garbage but between objects: what a part allocates costs
        what it costs."""
        self._ask("still", on=True)
        try:
            yield
        finally:
            if self.context.worker.alive:
                self._ask("still", on=False)

    def blame(self, raised: Raised, methods: Collection[str]) -> None:
        """Of several calls made in one go the one that raised, by its own frames."""
        calls = {called for method in methods for called in self.CALLS.get(method, (method,))}
        self.method = next((name for _, name in raised.frames if name in calls), self.method)

    def look(self) -> None:
        """Have the worker look whether the part has changed what is not its own; Broken if it has."""
        self._ask("driver", slot=self.slot)

    def breach(
        self,
        message: str,
        *,
        got: str,
        expected: str,
        method: str = "",
        raised: Raised | None = None,
    ) -> Broken:
        """The Broken to raise, with the story so far. Where the part raised, the place to look at
        is where it did."""
        method = method or self.method
        story = Story(
            steps=tuple(map(str, self.steps)),
            got=got,
            expected=expected,
            location=self._raised_at(raised) or self.context.submission.location(method),
            replay=self.context.replay,
            traceback=self._traceback(raised) if raised else (),
            script=self._script(),
        )
        return Broken(message, story=story, method=method)

    def _raised_at(self, raised: Raised | None) -> Location:
        """The innermost line of the submission that an exception came from; none where it came from
        elsewhere.

        Where calls of calls end that have no end is chance.
        """
        name = self.context.submission.name
        if (
            raised is None
            or not raised.frames
            or raised.file not in ("", name)
            or raised.type == "RecursionError"
        ):
            return Location()
        return Location(name, *raised.frames[-1])

    def _script(self) -> tuple[str, ...]:
        """For each step the Python of it, "" where there is none; the first begins with the
        imports."""
        if not self._imports or not self.steps:
            return ()
        first, *others = (step.script(last=step is self.steps[-1]) for step in self.steps)
        return (f"{self._imports}\n{first}", *others)

    def broken(
        self,
        message: str,
        *,
        got: str,
        expected: str,
        method: str = "",
        raised: Raised | None = None,
        habit: str = "",
    ) -> NoReturn:
        """Raise Broken with the story so far."""
        broken = self.breach(message, got=got, expected=expected, method=method, raised=raised)
        broken.habit = habit
        raise broken

    def deviates(self, found: Deviation, method: str = "") -> NoReturn:
        """Raise Broken for what a specification found, with the story so far."""
        self.broken(
            found.message, got=found.got, expected=found.expected, method=method, habit=found.habit
        )

    def unexpected(self, raised: Raised, expected: str, note: str = "") -> NoReturn:
        """Raise Broken for an exception that the contract does not allow here. note: a sentence
        about the call."""
        if "NotImplementedError" in raised.kinds and raised.file not in (
            "",
            self.context.submission.name,
        ):
            raise self._companion_unwritten(raised)
        found = self._diagnostician.of(self.method, raised, expected)
        self.method = found.method
        about = note and raised.frames and not raised.leaving and found.reason is Reason.LAW
        message = f"{found.message} {note}" if about else found.message
        broken = self.breach(message, got=raised.told, expected=found.expected, raised=raised)
        broken.outcome, broken.reason = raised.outcome, found.reason
        if not found.inside and broken.story is not None:
            broken.story = replace(
                broken.story, location=self.context.submission.location(self.method)
            )
        raise broken

    def _companion_unwritten(self, raised: Raised) -> Broken:
        """A part that surrounds the one under test is a stub still: nothing is to be mended in the
        latter."""
        line, method = raised.frames[-1]
        message = f"`{method}` of {raised.file}, one of the parts beside {self.context.submission.name}, is not written"
        broken = self.breach(f"{message} yet.", got=raised.told, expected="parts that are written")
        broken.location, broken.reason, broken.method = (
            Location(raised.file, line, method),
            Reason.UNWRITTEN,
            "",
        )
        if broken.story is not None:
            broken.story = replace(broken.story, location=broken.location)
        return broken

    def no_property(self, name: str, value: Any) -> None:
        """Raise Broken if `value`, read where the contract has a property, is a method."""
        found = self._diagnostician.of_property(name, value)
        if found is not None:
            self.method = name
            self.tell(f"{self.label}.{name}", shown(value))
            self.broken(found.message, got=f"a {value['type']}", expected=found.expected)

    def _outcome_shown(self, reply: Reply) -> None:
        self.steps[-1].raised = isinstance(reply, Raised)
        if isinstance(reply, Raised):
            self.steps[-1].answered(reply.told)
        elif reply.value is not None:
            self.steps[-1].answered(Shown(reply.value))

    def _traceback(self, raised: Raised) -> tuple[str, ...]:
        source = self.context.submission.source.split("\n")
        lines = []
        for line, function in raised.frames:
            lines.append(f"{self.context.submission.name}:{line} in {function}")
            if 1 <= line <= len(source):
                lines.append(f"    {source[line - 1].strip()[:160]}")
        return (*lines, str(raised)) if lines else ()

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        try:
            answer = self._transport.ask(self.method, do, fields)
        except Lost as lost:
            self._lost = lost
            self._transport.watching |= lost.asleep > 0
            self._ended(lost)
        self._nap = max(self._nap, (self._transport.napped, self.method, len(self.steps)))
        return answer

    def parsed(self, parse: Callable[[], T]) -> T:
        """`parse()`, a ProtocolError in it being the worker's: INVALID."""
        try:
            return self._transport.parsed(self.method, parse)
        except Lost as lost:
            self._ended(lost)

    def _ended(self, lost: Lost) -> NoReturn:
        self.steps[-1].answered(lost.got)
        broken = self.breach(lost.message, got=lost.got, expected=self.awaited)
        broken.outcome = lost.outcome
        raise broken from None
