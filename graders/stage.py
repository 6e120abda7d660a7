"""Where a trace is played: one fresh object in the worker, one line of story for every call.

`Stage` knows no exercise. It sends a call, turns death, hanging and tampering into `Broken`, and hands back what the
part returned or raised. An exercise's session judges that with its specification and calls `broken` at the first
deviation.
"""

from __future__ import annotations

import contextlib
import inspect
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from graders import slips, wire
from graders.bench import Bench
from graders.law import Broken
from graders.result import Outcome, Story
from graders.worker import Died, Hung, Tampered
from reference_engine import slots

T = TypeVar("T")
ADVICE = {  # what an exception says about the part, where its own words do not
    "BdbQuit": "a breakpoint is left in the part, and nobody is there to go on from it",
    "EOFError": "does the part ask for input? Nobody is there to answer",
    "FileNotFoundError": "one file is handed in, and nothing beside it",
    "RecursionError": "does a function call itself for each block? There may be thousands; a loop has no such limit",
}
MISSING = re.compile(r"(?:'(\w+)' object|module '\w+') has no attribute '(\w+)'")
LONGEST = 300  # characters of a text that a report shows
FRAMES = 8
FASTEST = 1e-8  # seconds of CPU time: no call of a Python function costs less
METHODS = ({"type": "method"}, {"type": "function"})  # what was not called, as plain data
OF_THE_CONTRACT = ("OutOfBlocks", "KeyError", "ValueError")
LEAVING = {
    "SystemExit": "called sys.exit()",
    "KeyboardInterrupt": "raised KeyboardInterrupt",
    "MemoryError": "ran out of memory",
}


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception in the part. kinds: the exception classes that callers may catch it by; frames: the part's own."""

    kinds: tuple[str, ...]
    type: str
    text: str
    frames: tuple[tuple[int, str], ...]

    @classmethod
    def of(cls, data: Any) -> Raised:
        """From the wire; ProtocolError if it is anything else."""
        if type(data) is not dict:
            raise wire.ProtocolError("an exception that is not one")
        wire.only(data, ("kinds", "type", "text", "frames"))
        kinds, frames = wire.field(data, "kinds", list), wire.field(data, "frames", list)
        if not all(type(kind) is str for kind in kinds):
            raise wire.ProtocolError("an exception that is not one")
        for frame in frames:
            if type(frame) is not list or [type(item) for item in frame] != [int, str]:
                raise wire.ProtocolError("an exception that is not one")
        kind, text = wire.field(data, "type", str)[:LONGEST], wire.field(data, "text", str)[:LONGEST]
        return cls(tuple(kinds), kind, text, tuple((line, name[:LONGEST]) for line, name in frames[-FRAMES:]))

    @property
    def outcome(self) -> Outcome:
        return Outcome.CRASH if self.leaving else Outcome.FAIL

    @property
    def undue(self) -> bool:
        """Nothing was raised: the part returned something of another type (see `graders.child.due`)."""
        return "Undue" in self.kinds and not self.frames

    @property
    def told(self) -> str:
        """ "raised KeyError: 5", or "returned a list ([])"."""
        return self.text.partition(";")[0] if self.undue else f"raised {self}"

    @property
    def leaving(self) -> str:
        """ "called sys.exit()" and the like; empty for an ordinary exception."""
        return next((LEAVING[kind] for kind in self.kinds if kind in LEAVING), "")

    def is_one_of(self, due: Collection[str]) -> bool:
        """Whether it is what the contract wants here: one of `due`, and not at once what is due elsewhere."""
        told = {kind for kind in self.kinds if kind in OF_THE_CONTRACT}
        return bool(told) and told <= set(due)

    @property
    def advice(self) -> str:
        """What to make of it, in brackets; empty where the exception says enough."""
        return f" ({ADVICE[self.type]})" if self.type in ADVICE else ""

    def __str__(self) -> str:
        return f"{self.type}: {self.text}" if self.text else self.type

    def at_import(self, name: str) -> str:
        """One sentence for an exception while the file was imported."""
        line = f" in line {self.frames[-1][0]}" if self.frames else ""
        if self.leaving:
            return f"{name} {self.leaving} when it was imported{line}."
        if self.type == "SyntaxError":
            return f"{name} has a syntax error: {self.text}."
        if self.type == "ModuleNotFoundError":
            return f"{name}{line}: {self.text}; a part is written with the standard library alone."
        return f"{name} could not be imported: {self}{line}{self.advice}."


@dataclass(frozen=True, slots=True)
class Returned:
    """What the part returned, as plain data (see `graders.child.worker` for the form)."""

    value: Any


Reply = Returned | Raised


def reply_of(data: Any) -> Reply:
    """One outcome from the wire; ProtocolError if it is anything else."""
    if type(data) is not dict or len(data) != 1:
        raise wire.ProtocolError("an outcome that is not one")
    if "x" in data:
        return Raised.of(data["x"])
    if "r" not in data:
        raise wire.ProtocolError("an outcome that is not one")
    return Returned(data["r"])


def exception_of(data: dict[str, Any]) -> Raised:
    """The answer of a request that has nothing to say but an exception; ProtocolError if it is anything else."""
    wire.only(data, ("x",))
    return Raised.of(data.get("x"))


def value_or_raised(data: Any) -> Reply:
    """One item of a driver's snapshot: {"x": exception}, or the plain value itself."""
    return Raised.of(data["x"]) if type(data) is dict and "x" in data else Returned(data)


def shown(value: Any) -> str:
    """Plain data from the wire as a learner would write it: [1, 2], Copy(src=3, dst=4), <a Widget>."""
    if type(value) is list:
        items = [shown(item) for item in value[:12]]
        return "[" + ", ".join(items + [f"… {len(value)} in all"] * (len(value) > 12)) + "]"
    if type(value) is dict:
        ends = value.get("copy")
        if type(ends) is list and len(ends) == 2:
            return f"Copy(src={shown(ends[0])}, dst={shown(ends[1])})"
        if "s" in value:
            return repr(value["s"])[:LONGEST]
        return f"<{str(value.get('type', 'object'))[:LONGEST]}>"
    return repr(value)


class Stage:
    """One object of the part, on which calls are made in order.

    slot: which part. label: how the story calls the object ("bm"). Every method below raises Broken when the part dies,
    hangs or tampers; the story so far is attached.
    """

    def __init__(self, bench: Bench, slot: str, label: str) -> None:
        self.bench = bench
        self.slot = slot
        self.label = label
        self.steps: list[str] = []
        self.method = "__init__"
        self._played: list[Any] | None = None
        self._trouble: Broken | None = None
        self._asleep = False
        self._nap = (0.0, "", 0)  # the longest while a trace is played slowly: seconds, method, steps until then

    def play(
        self, args: Sequence[Any], keywords: Mapping[str, Any], written: str, moves: Sequence[Any]
    ) -> Raised | None:
        """Make the object and play a whole trace on it in one go, for speed; the moves are the driver's affair.

        Returns what `new` returns; then `next` tells of each move in turn, and `finish` ends the trace. When the part
        dies or hangs on the way, the trace is played again from the start, one move at a time, to see where.
        """
        self._waiting = list(moves)
        self.steps.append(f"{self.label} = {written}")
        fresh = {"slot": self.slot, "args": list(args), "keywords": dict(keywords)}
        try:
            answer = self._ask("trace", fresh=fresh, moves=self._waiting)
        except Broken as trouble:
            self._trouble = trouble
            self.steps.clear()
            return self.new(args, keywords, written)
        if "x" in answer:
            raised = self.parsed(lambda: exception_of(answer))
            self._outcome_shown(raised)
            return raised
        self._played = self.parsed(lambda: _outcomes(answer, len(moves)))
        return None

    def next(self, method: str, written: str) -> tuple[Reply, Any]:
        """What the next move of the trace came to, and the driver's snapshot after it."""
        self.method = method
        self.steps.append(f"{self.label}.{written}")
        move = self._waiting.pop(0)
        if self._played is None:
            answer = self._ask("trace", fresh=None, moves=[move])
            outcome = self.parsed(lambda: _outcomes(answer, 1))[0]
        else:
            outcome = self._played.pop(0)
        reply, seen = self.parsed(lambda: _outcome(outcome))
        self._outcome_shown(reply)
        return reply, seen

    @property
    def slow(self) -> bool:
        """The trace is played one move at a time, because something went wrong when it was played in one go."""
        return self._played is None

    def instead(self, count: int, moves: Sequence[Any]) -> None:
        """Make these moves in the place of the next `count`; only while `slow`."""
        self._waiting[:count] = moves

    def finish(self) -> None:
        """The trace is over. Broken if it went wrong at first and nothing was found when it was played slowly.

        A part that took too long the first time only was held up by something else; one that slept was not.
        """
        if self._trouble is None or (self._trouble.outcome is Outcome.TIMEOUT and not self._asleep):
            return
        seconds, self.method, count = self._nap
        if seconds:
            del self.steps[count:]
            message = str(self._trouble).replace("The part sleeps", f"`{self.method}` sleeps")
            self._ended(message, f"idle for {seconds:.2g} s", Outcome.TIMEOUT)
        raise self._trouble

    def new(self, args: Sequence[Any], keywords: Mapping[str, Any], written: str) -> Raised | None:
        """Make the object; `written` is the line of the story. None, or what the constructor raised."""
        self.method = "__init__"
        self.steps.append(f"{self.label} = {written}")
        answer = self._ask("new", slot=self.slot, args=list(args), keywords=dict(keywords))
        if not answer:
            return None
        raised = self.parsed(lambda: exception_of(answer))
        self._outcome_shown(raised)
        return raised

    def call(self, method: str, args: Sequence[Any], written: str, watch: Any = None) -> tuple[Reply, Any]:
        """Call a method; what it returned or raised, and the driver's snapshot after it (None without `watch`)."""
        self.method = method
        self.steps.append(f"{self.label}.{written}")
        answer = self._ask("call", calls=[[method, list(args)]], watch=watch)
        reply, seen = self.parsed(lambda: _one_call(answer, watch is not None))
        self._outcome_shown(reply)
        return reply, seen

    def again(self, calls: Sequence[tuple[str, Sequence[Any]]], times: int) -> None:
        """Make the calls so many times over, for their cost alone; Broken if one raises, or if none was made."""
        self.method = calls[0][0]
        before = self.bench.worker.cpu_seconds()
        answer = self._ask("again", calls=[[method, list(args)] for method, args in calls], times=times)
        if answer:
            raised = self.parsed(lambda: exception_of(answer))
            self._blame(raised, [method for method, _ in calls])
            self.unexpected(raised, "no exception")
        self._refuse_faster_than_a_call(self.bench.worker.cpu_seconds() - before, times * len(calls))

    def answered(self, calls: Sequence[tuple[str, Sequence[Any]]], times: int) -> list[Any]:
        """Make the calls so many times over in the ordinary way, each answered; what the last round returned.

        Broken if one raises. For their cost where nothing tells a part that it is the cost that counts.
        """
        self.method = calls[0][0]
        answer = self._ask("call", calls=[[method, list(args)] for method, args in calls] * times, watch=None)
        replies = self.parsed(lambda: _replies(answer, times * len(calls)))
        values = []
        for (method, _), reply in zip([*calls] * times, replies, strict=True):
            self.method = method
            if isinstance(reply, Raised):
                self.unexpected(reply, "no exception")
            values.append(reply.value)
        return values[-len(calls) :]

    def _refuse_faster_than_a_call(self, spent: float, count: int) -> None:
        if spent < FASTEST * count:
            message = f"{count} calls of `{self.method}` took {spent * 1e6:.0f} µs of CPU time: they were not made."
            broken = self.breach(message, got=f"{spent / count * 1e9:.1f} ns a call", expected="calls that are made")
            broken.outcome = Outcome.INVALID
            raise broken

    def shifts(self, calls: Sequence[tuple[str, Sequence[Any]]], least: int) -> list[int]:
        """Make each call once; the indices of those that moved a whole list of at least so many items."""
        self.method = calls[0][0]
        answer = self._ask("shifts", calls=[[method, list(args)] for method, args in calls], least=least)
        if "x" in answer:
            self.unexpected(self.parsed(lambda: exception_of(answer)), "no exception")
        found = self.parsed(lambda: wire.integers(answer.get("shifts")))
        return [index for index in found if 0 <= index < len(calls)]

    def tally(self, calls: Sequence[tuple[str, Sequence[Any]]], most: int) -> list[int]:
        """Make each call once; the bytecode instructions of the part that each executed, `most` at most.

        Broken if one raises. Deterministic, but blind to loops in C: those are found by their time.
        """
        self.method = calls[0][0]
        answer = self._ask("tally", calls=[[method, list(args)] for method, args in calls], most=most)
        if "x" in answer:
            raised = self.parsed(lambda: exception_of(answer))
            self._blame(raised, [method for method, _ in calls])
            self.unexpected(raised, "no exception")
        return self.parsed(lambda: wire.integers(answer.get("tally"), len(calls)))

    @contextlib.contextmanager
    def still(self) -> Iterator[None]:
        """Meanwhile the worker collects no garbage but between objects: what a part allocates costs what it costs."""
        self._ask("still", on=True)
        try:
            yield
        finally:
            if self.bench.worker.alive:
                self._ask("still", on=False)

    def _blame(self, raised: Raised, methods: Collection[str]) -> None:
        """Of several calls made in one go the one that raised, by its own frames."""
        self.method = next((name for _, name in raised.frames if name in methods), self.method)

    def look(self) -> None:
        """Have the worker look whether the part has changed what is not its own; Broken if it has."""
        self._ask("driver", slot=self.slot)

    def breach(
        self, message: str, *, got: str, expected: str, method: str = "", raised: Raised | None = None
    ) -> Broken:
        """The Broken to raise, with the story so far."""
        method = method or self.method
        story = Story(
            steps=tuple(self.steps),
            got=got,
            expected=expected,
            where=self.bench.submission.where(method),
            replay=self.bench.replay,
            traceback=self._traceback(raised) if raised else (),
        )
        return Broken(message, story=story, method=method)

    def broken(
        self, message: str, *, got: str, expected: str, method: str = "", raised: Raised | None = None
    ) -> NoReturn:
        """Raise Broken with the story so far."""
        raise self.breach(message, got=got, expected=expected, method=method, raised=raised)

    def unexpected(self, raised: Raised, expected: str) -> NoReturn:
        """Raise Broken for an exception that the contract does not allow here."""
        name = self.method
        if raised.leaving:
            message = f"`{name}` {raised.leaving}."
        elif raised.undue:
            message = f"`{name}` {raised.text}."
        elif "NotImplementedError" in raised.kinds:
            self.method = raised.frames[-1][1] if raised.frames else name
            message = f"`{self.method}` is not written yet."
        elif not raised.frames and "AttributeError" in raised.kinds:
            message, expected = self._lacking(raised, expected)
        elif not raised.frames and "TypeError" in raised.kinds:
            message = f"`{name}` cannot be called as the contract says: {raised.text}."
            expected = self._written(name, expected)
        else:
            message = f"`{name}` raised {raised}{raised.advice}."
        message, expected = self._slipped(raised) or (message, expected)
        broken = self.breach(message, got=raised.told, expected=expected, raised=raised)
        broken.outcome = raised.outcome
        raise broken

    def no_property(self, name: str, value: Any) -> None:
        """Raise Broken if `value`, read where the contract has a property, is a method."""
        if value in METHODS:
            self.method = name
            self.steps.append(f"{self.label}.{name} -> {shown(value)}")
            message = self._slip([name])[1] or f"`{name}` must be a property: put @property above its def."
            self.broken(message, got=f"a {value['type']}", expected=f"a property {name}")

    def _lacking(self, raised: Raised, expected: str) -> tuple[str, str]:
        """Message and what is due, when nothing of the part raised: it lacks something, or what it returned does."""
        owner, missing = next(iter(MISSING.findall(raised.text)), ("", self.method))
        if owner not in ("", self.bench.exercise.class_name):
            returned = (
                "nothing; is a return missing?" if owner == "NoneType" else f"a {owner}, which has no `{missing}`."
            )
            return f"`{self.method}` returned {returned}", expected
        self.method = missing
        inside = "" if owner else slips.inside(self.bench.submission.source, missing)
        if inside:
            message = f"There is no `{missing}` at the top level of the file: it stands in class {inside}, take it out."
            return message, f"a function {missing}"
        return f"There is no `{missing}`: {raised.text}.", self._written(missing, expected)

    def _slip(self, names: Iterable[str]) -> tuple[str, str]:
        contract = getattr(slots, self.bench.exercise.class_name or "", None)
        return slips.slip(self.bench.submission.source, contract, names)

    def _slipped(self, raised: Raised) -> tuple[str, str] | None:
        """Message and what is due, when it was raised because a method has another form than in the contract."""
        if not {"TypeError", "AttributeError"} & set(raised.kinds):
            return None
        lines = self.bench.submission.source.split("\n")
        last = [lines[line - 1] for line, _ in raised.frames[-1:] if 1 <= line <= len(lines)]
        callers = [function for _, function in reversed(raised.frames)]
        name, message = self._slip([self.method, *slips.called(" ".join([raised.text, *last])), *callers])
        if not name:
            return None
        self.method = name
        return message, self._written(name, "")

    def _written(self, method: str, otherwise: str) -> str:
        """ "a method unlock(self, node)", from the contract; `otherwise` for what it does not name."""
        found = inspect.getattr_static(getattr(slots, self.bench.exercise.class_name, None), method, None)
        if isinstance(found, property):
            return f"a property {method}"
        return f"a method {method}{_names_of(found)}" if inspect.isfunction(found) else otherwise

    def _outcome_shown(self, reply: Reply) -> None:
        text = reply.told if isinstance(reply, Raised) else shown(reply.value)
        self.steps[-1] += f" -> {text}" if text != "None" else ""

    def _traceback(self, raised: Raised) -> tuple[str, ...]:
        source = self.bench.submission.source.split("\n")
        lines = []
        for line, function in raised.frames:
            lines.append(f"{self.bench.submission.name}:{line} in {function}")
            if 1 <= line <= len(source):
                lines.append(f"    {source[line - 1].strip()[:160]}")
        return (*lines, str(raised)) if lines else ()

    def _ask(self, do: str, **fields: Any) -> dict[str, Any]:
        worker = self.bench.worker
        before = worker.slept if self._asleep else 0.0
        try:
            answer = worker.ask(do, **self.bench.patience, **fields)
            if self._asleep:
                self._nap = max(self._nap, (worker.slept - before, self.method, len(self.steps)))
            return answer
        except Died as death:
            self._ended(f"The process {death} in `{self.method}`.", f"the process {death}", Outcome.CRASH)
        except Hung as wait:
            message = f"`{self.method}` did not come back (waited {wait.seconds:.0f} s): an endless loop?"
            self._asleep = self._asleep or wait.asleep
            if wait.asleep:
                message = f"The part sleeps: it kept the grader waiting for {wait.seconds:.0f} s and did nothing."
            self._ended(message, "no answer", Outcome.TIMEOUT)
        except Tampered as wrong:
            self._ended(f"In `{self.method}` {wrong}.", str(wrong), Outcome.INVALID)

    def parsed(self, parse: Callable[[], T]) -> T:
        """`parse()`, a ProtocolError in it being the worker's: INVALID."""
        try:
            return parse()
        except wire.ProtocolError as wrong:
            self.bench.workers.end()
            self._ended(f"In `{self.method}` the worker sent {wrong}.", str(wrong), Outcome.INVALID)

    def _ended(self, message: str, got: str, outcome: Outcome) -> NoReturn:
        self.steps[-1] += f" -> {got}"
        broken = self.breach(message, got=got, expected="an answer")
        broken.outcome = outcome
        raise broken from None


def _names_of(function: Callable[..., Any]) -> str:
    """Its signature without the types: "(self, tokens, namespace=None)"."""
    signature = inspect.signature(function)
    plain = [each.replace(annotation=inspect.Parameter.empty) for each in signature.parameters.values()]
    return str(inspect.Signature(plain))


def _replies(answer: dict[str, Any], count: int) -> list[Reply]:
    """The outcomes of so many calls that nobody watched."""
    outcomes = wire.field(answer, "calls", list)
    if len(outcomes) != count:
        raise wire.ProtocolError("another number of outcomes than calls")
    return [reply_of(outcome) for outcome in outcomes]


def _one_call(answer: dict[str, Any], watched: bool) -> tuple[Reply, Any]:
    wire.only(answer, ("calls", "seen"))
    calls, seen = wire.field(answer, "calls", list), wire.field(answer, "seen", list)
    if len(calls) != 1 or len(seen) != watched:
        raise wire.ProtocolError("another number of outcomes than calls")
    return reply_of(calls[0]), seen[0] if watched else None


def _outcomes(answer: dict[str, Any], count: int) -> list[Any]:
    wire.only(answer, ("moves",))
    outcomes: list[Any] = wire.field(answer, "moves", list)
    if len(outcomes) != count:
        raise wire.ProtocolError("another number of outcomes than moves")
    return outcomes


def _outcome(data: Any) -> tuple[Reply, Any]:
    if type(data) is not list or len(data) != 2:
        raise wire.ProtocolError("an outcome that is not one")
    return reply_of(data[0]), data[1]
