"""The one result object. Every rendering (terminal, JSON, JUnit, nbgrader …) is made of it and of nothing else."""

from __future__ import annotations

import dataclasses
import enum
from dataclasses import dataclass, field
from typing import Any

FORMAT = 1


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


@dataclass(frozen=True, slots=True)
class Story:
    """The shortest story that breaks a law.

    steps: one line an operation, with its values and what it returned, ready to print. got, expected: of the last
    step, in words or values. where: "file:line" or the name of the method to look at, may be empty. replay: the
    command that shows the same story again. traceback: the learner's own frames only, may be empty.
    """

    steps: tuple[str, ...]
    got: str
    expected: str
    where: str = ""
    replay: str = ""
    traceback: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LawResult:
    """What became of one law. `message` is one sentence in plain words; `output` is what the part printed (capped)."""

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


@dataclass(frozen=True, slots=True)
class Figure:
    """Something measured and shown beside the verdict: "guests held" 60 against the naive part's 12."""

    name: str
    value: float
    unit: str = ""
    reference: float | None = None  # the same figure of `against`
    against: str = ""  # "contiguous reservation", "solution", "vLLM 0.32 (card)"
    note: str = ""


@dataclass(frozen=True, slots=True)
class ExerciseResult:
    """The verdict on one submission for one exercise."""

    exercise: int
    name: str  # "paged allocation"
    source: str  # what was graded: a file name or "solutions" / "naive"
    laws: tuple[LawResult, ...]
    figures: tuple[Figure, ...] = ()
    isolation: str = "L1"
    advisory: bool = False  # isolation below the required level
    seed: int = 0
    seconds: float = 0.0
    grader: str = ""  # version
    problem: str = ""  # one sentence when nothing could be graded (missing file, syntax error, stub untouched)
    format: int = field(default=FORMAT)

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
        order = (Outcome.INVALID, Outcome.CRASH, Outcome.TIMEOUT, Outcome.FAIL, Outcome.UNGRADED, Outcome.SKIPPED)
        for outcome in order:
            if outcome in seen:
                return outcome
        return Outcome.PASS if seen and not self.problem else Outcome.FAIL

    @property
    def passed(self) -> bool:
        return self.outcome is Outcome.PASS

    def to_json(self) -> dict[str, Any]:
        """Plain data: the fields, and the derived `outcome`, `points`, `max_points`, `passed`."""
        data = dataclasses.asdict(self)
        data |= {"outcome": self.outcome, "points": self.points, "max_points": self.max_points, "passed": self.passed}
        return data
