"""What a part said to a call, read off the wire: what it returned, as plain data, or what it
raised."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from graders.checking.failure import Deviation
from graders.result import Outcome
from graders.sandbox import protocol
from graders.sandbox.guest.callers_own import SCRAWL

ADVICE = {  # what an exception says about the part, where its own words do not
    "BdbQuit": "a breakpoint is left in the part, and nobody is there to go on from it",
    "EOFError": "does the part ask for input? Nobody is there to answer",
    "FileNotFoundError": "one file is handed in, and nothing beside it",
    "RecursionError": "does a function call itself without an end, or once for each block? A loop has no limit",
}
LONGEST = 300  # characters of a text that a report shows
FRAMES = 8
LONGEST_NAME = 60
METHODS = ({"type": "method"}, {"type": "function"})  # what was not called, as plain data
OF_THE_CONTRACT = ("OutOfBlocks", "KeyError", "ValueError")
LEAVING = {
    "SystemExit": "called sys.exit()",
    "KeyboardInterrupt": "raised KeyboardInterrupt",
    "MemoryError": "ran out of memory",
}


@dataclass(frozen=True, slots=True)
class Raised:
    """An exception in the part. kinds: the exception classes that callers may catch it by; frames:
    the part's own.

    got: of something that was returned and is not due, in words. file: where it was raised, if in a
    part at all.
    """

    kinds: tuple[str, ...]
    type: str
    text: str
    frames: tuple[tuple[int, str], ...]
    got: str = ""
    file: str = ""

    @classmethod
    def of(cls, data: Any) -> Raised:
        """From the wire; ProtocolError if it is anything else."""
        if type(data) is not dict:
            raise protocol.ProtocolError("an exception that is not one")
        protocol.only(data, ("kinds", "type", "text", "frames", "got", "file"))
        kinds, frames = protocol.field(data, "kinds", list), protocol.field(data, "frames", list)
        if not all(type(kind) is str for kind in kinds):
            raise protocol.ProtocolError("an exception that is not one")
        for frame in frames:
            if type(frame) is not list or [type(item) for item in frame] != [int, str]:
                raise protocol.ProtocolError("an exception that is not one")
        kind, text = (
            protocol.field(data, "type", str)[:LONGEST],
            protocol.field(data, "text", str)[:LONGEST],
        )
        got, file = (
            protocol.field(data, key, str)[:LONGEST] if key in data else ""
            for key in ("got", "file")
        )
        named = tuple((line, function_name(name)) for line, name in frames[-FRAMES:])
        return cls(tuple(kinds), kind, text, named, got, file)

    @property
    def outcome(self) -> Outcome:
        return Outcome.CRASH if self.leaving else Outcome.FAIL

    @property
    def undue(self) -> bool:
        """Nothing was raised: the part returned something of another type (see
        `graders.sandbox.guest.return_types`)."""
        return "Undue" in self.kinds and not self.frames

    @property
    def told(self) -> str:
        """ "raised KeyError: 5", or "returned a list ([])"."""
        return self.got if self.undue and self.got else f"raised {self}"

    @property
    def leaving(self) -> str:
        """ "called sys.exit()" and the like; empty for an ordinary exception."""
        return next((LEAVING[kind] for kind in self.kinds if kind in LEAVING), "")

    @property
    def line(self) -> int:
        """Of the part, in which it was raised; 0 when unknown."""
        return self.frames[-1][0] if self.frames else 0

    def is_one_of(self, due: Collection[str]) -> bool:
        """Whether it is what the contract wants here: one of `due`, and not at once what is due
        elsewhere."""
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
        line = f" in line {self.line}" if self.line else ""
        if self.leaving:
            return f"{name} {self.leaving} when it was imported{line}."
        if self.type == "SyntaxError":
            return f"{name} has a syntax error: {self.text}."
        if self.type == "ModuleNotFoundError":
            return f"{name}{line}: {self.text}; a part is written with the standard library alone."
        return f"{name} could not be imported: {self}{line}{self.advice}."


def function_name(name: str) -> str:
    """Of a frame: an identifier of at most 60 characters, or <lambda> and its like; "?" for what no
    file calls so."""
    inner = name[1:-1] if name.startswith("<") and name.endswith(">") else name
    return name if inner.isidentifier() and len(name) <= LONGEST_NAME else "?"


@dataclass(frozen=True, slots=True)
class Returned:
    """What the part returned, as plain data (see `graders.sandbox.guest.worker` for the form)."""

    value: Any


Reply = Returned | Raised


def reply_of(data: Any) -> Reply:
    """One outcome from the wire; ProtocolError if it is anything else."""
    if type(data) is not dict or len(data) != 1:
        raise protocol.ProtocolError("an outcome that is not one")
    if "x" in data:
        return Raised.of(data["x"])
    if "r" not in data:
        raise protocol.ProtocolError("an outcome that is not one")
    return Returned(data["r"])


def exception_of(data: dict[str, Any]) -> Raised:
    """The answer of a request that has nothing to say but an exception; ProtocolError if it is
    anything else."""
    protocol.only(data, ("x",))
    return Raised.of(data.get("x"))


def value_or_raised(data: Any) -> Reply:
    """One item of a driver's snapshot: {"x": exception}, or the plain value itself."""
    return Raised.of(data["x"]) if type(data) is dict and "x" in data else Returned(data)


def returned_again(method: str, value: Any) -> Deviation | None:
    """What there is to say if a part returned a list, or a list in one, that is the caller's since
    a call before."""
    if type(value) is not list or not any(
        SCRAWL in each for each in (value, *value) if type(each) is list
    ):
        return None
    message = f"`{method}` returned {shown(value)}: {SCRAWL} is what the caller has written into a list that a call "
    message += "before returned. What is returned must not be kept, nor returned again."
    return Deviation(message, shown(value), "a list of its own")


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


@dataclass(frozen=True, slots=True)
class Shown:
    """What `shown` says of a value, said when somebody reads it."""

    value: Any

    def __str__(self) -> str:
        return shown(self.value)


def replies_of(answer: dict[str, Any], count: int) -> list[Reply]:
    """The outcomes of so many calls that nobody watched."""
    outcomes = protocol.field(answer, "calls", list)
    if len(outcomes) != count:
        raise protocol.ProtocolError("another number of outcomes than calls")
    return [reply_of(outcome) for outcome in outcomes]


def one_call(answer: dict[str, Any], watched: bool) -> tuple[Reply, Any]:
    protocol.only(answer, ("calls", "seen"))
    calls, seen = protocol.field(answer, "calls", list), protocol.field(answer, "seen", list)
    if len(calls) != 1 or len(seen) != watched:
        raise protocol.ProtocolError("another number of outcomes than calls")
    return reply_of(calls[0]), seen[0] if watched else None


def outcomes_of(answer: dict[str, Any], count: int) -> list[Any]:
    protocol.only(answer, ("moves",))
    outcomes: list[Any] = protocol.field(answer, "moves", list)
    if len(outcomes) != count:
        raise protocol.ProtocolError("another number of outcomes than moves")
    return outcomes


def outcome_of(data: Any) -> tuple[Reply, Any]:
    if type(data) is not list or len(data) != 2:
        raise protocol.ProtocolError("an outcome that is not one")
    return reply_of(data[0]), data[1]
