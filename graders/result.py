"""The one result object. Every rendering (terminal, JSON, JUnit, nbgrader …) is made of it and of
nothing else."""

from __future__ import annotations

import dataclasses
import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1
Number = int | str
"""What an exercise is called in commands, tables and files: 1 for exercise 1, "lab1" for lab 1."""


class Outcome(enum.StrEnum):
    """What became of a law, or of a whole exercise."""

    PASS = "pass"
    FAIL = "fail"  # the part broke the law
    SKIPPED = "skipped"  # a law that this one needs did not pass
    TIMEOUT = "timeout"  # the part did not come back in time
    CRASH = "crash"  # the worker died under the part
    INVALID = "invalid"  # evidence of tampering: zero, flagged for a person
    UNGRADED = "ungraded"  # our fault or the machine's: never a zero

    @property
    def failed(self) -> bool:
        """The part is to blame (skipped and ungraded blame nobody)."""
        return self in (Outcome.FAIL, Outcome.TIMEOUT, Outcome.CRASH, Outcome.INVALID)


class Reason(enum.StrEnum):
    """What a law's outcome is about, where a reader has to treat it in a way of its own; the
    message is for people."""

    LAW = ""  # the law itself
    UNWRITTEN = "unwritten"  # a method or function that is still the stub's
    # what was handed in is in doubt: a person has to look, and trying again does not help
    PERSON = "person"


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a part. line: from 1, 0 when unknown. function: the method or function to look at,
    may be empty."""

    file: str = ""
    line: int = 0
    function: str = ""

    @classmethod
    def parse(cls, text: str) -> Location:
        """The location that was stored as "file:line (function)" or as the name of a function
        alone."""
        found = re.fullmatch(r"([^:]+):(\d+)(?: \((.*)\))?", text, re.DOTALL)
        return cls(found[1], int(found[2]), found[3] or "") if found else cls(function=text)

    def __bool__(self) -> bool:
        return bool(self.line or self.function)

    def __str__(self) -> str:
        if not self.line:
            return self.function
        return f"{self.file}:{self.line}" + (f" ({self.function})" if self.function else "")


@dataclass(frozen=True, slots=True)
class Story:
    """The shortest story that breaks a law.

    steps: one line an operation, with its values and what it returned, ready to print. got,
    expected: of the last step, in words or values. location: where to look, may be empty. replay:
    the command that shows the same story again. traceback: the learner's own frames only, may be
    empty. script: for each step the Python of it, empty where a step is none; no script at all
    where the story is of a whole engine.
    """

    steps: tuple[str, ...]
    got: str
    expected: str
    location: Location = Location()
    replay: str = ""
    traceback: tuple[str, ...] = ()
    script: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """The location in words: "file:line (function)", or the function alone."""
        return str(self.location)


@dataclass(frozen=True, slots=True)
class LawResult:
    """What became of one law. `message` is one sentence in plain words; `output` is what the part
    printed (capped)."""

    number: str  # "1.4"
    name: str  # "copy-on-write"
    statement: str
    outcome: Outcome
    points: float
    max_points: float
    message: str = ""
    story: Story | None = None
    seconds: float = 0.0
    cases: int = 0  # how many traces were tried
    output: str = ""
    reason: Reason = Reason.LAW


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured and shown beside the verdict: "requests held" 60 against the naive part's
    12."""

    name: str
    value: float
    unit: str = ""
    reference: float | None = None  # the same figure of `against`
    against: str = ""  # "contiguous reservation", "solution", "vLLM 0.32 (card)"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseResult:
    """The verdict on one submission for one exercise."""

    exercise: Number
    name: str  # "paged allocation"
    source: str  # what was graded: a file name or "solutions" / "naive"
    laws: tuple[LawResult, ...]
    figures: tuple[Figure, ...] = ()
    isolation: str = "none"  # the lowest level that any worker reached; none was needed
    advisory: bool = False  # isolation below the required level
    seed: int = 0
    seconds: float = 0.0
    grader: str = ""  # version
    # one sentence when nothing could be graded (missing file, syntax error, stub untouched)
    problem: str = ""
    format: int = field(default=FORMAT)
    location: Location = Location()  # of the problem, where it lies in a line of the part
    # sha256 of the part's text as it was judged; see `graders.submissions.source.digest`
    digest: str = ""

    @property
    def points(self) -> float:
        return sum(law.points for law in self.laws)

    @property
    def max_points(self) -> float:
        return sum(law.max_points for law in self.laws)

    @property
    def outcome(self) -> Outcome:
        """The worst that happened; pass only when every law passed."""
        seen = {law.outcome for law in self.laws}
        order = (
            Outcome.INVALID,
            Outcome.CRASH,
            Outcome.TIMEOUT,
            Outcome.FAIL,
            Outcome.UNGRADED,
            Outcome.SKIPPED,
        )
        for outcome in order:
            if outcome in seen:
                return outcome
        return Outcome.PASS if seen and not self.problem else Outcome.FAIL

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS

    @property
    def needs_person(self) -> bool:
        """Whether nothing can be judged before a person has said what was handed in."""
        return any(law.reason is Reason.PERSON for law in self.laws)

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields, and the derived `outcome`, `points`, `max_points`, `passed`; a
        story's `where`."""
        data = dataclasses.asdict(self)
        for law, plain in zip(self.laws, data["laws"], strict=True):
            if law.story is not None:
                plain["story"]["where"] = law.story.where
        data |= {
            "outcome": self.outcome,
            "points": self.points,
            "max_points": self.max_points,
            "passed": self.passed,
        }
        return data


def completed(law: Mapping[str, Any]) -> dict[str, Any]:
    """A law's stored JSON in today's form: a story from before there were locations gets the one
    that it names."""
    story = law.get("story")
    if (
        not isinstance(story, Mapping)
        or "location" in story
        or not isinstance(story.get("where"), str)
    ):
        return dict(law)
    return {
        **law,
        "story": {**story, "location": dataclasses.asdict(Location.parse(story["where"]))},
    }
