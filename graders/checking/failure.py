"""How a check says that a part broke a law, and the story it tells while it plays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from graders.result import Location, Outcome, Reason, Story

Refusals = dict[str, str]  # the exceptions that the contract allows here -> why


class Deviation(Exception):
    """The part did something that the contract does not allow. `message`: one sentence, naming the fault."""

    def __init__(self, message: str, got: str, expected: str) -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.expected = expected


class Replayable(Protocol):
    """Calls written down, which can be judged again."""

    def judge(self) -> None:
        """Raise Broken, with a `trace` of what was played until then, if the part breaks the law."""

    def shorter(self) -> Iterator[Replayable]:
        """The same calls without one of them (and those that make no sense without it), then with simpler values.

        What is refused, and what is not, stays so: a shorter story must not be about another law.
        """


class Broken(Exception):
    """Raised by a check: the part broke the law. `message` is one sentence in plain words, naming the fault.

    outcome: FAIL unless the part died (CRASH), hung (TIMEOUT) or tampered (INVALID).
    method: the method to look at; the grader turns it into a location.
    story: the steps that lead there.
    location: where to look, where there is no story.
    reason: what it is about, where that is not the law itself.
    trace: the calls of the story, where they can be made again without some of them.
    """

    trace: Replayable | None = None

    def __init__(
        self,
        message: str,
        *,
        story: Story | None = None,
        method: str = "",
        outcome: Outcome = Outcome.FAIL,
        location: Location | None = None,
        reason: Reason = Reason.LAW,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.story = story
        self.method = method
        self.outcome = outcome
        self.location = location or Location()
        self.reason = reason


@dataclass(slots=True)
class Step:
    """One line of a story as it is told. call: as the learner would write it. answer: what came of it, may be empty."""

    call: str
    answer: str = ""

    def answered(self, answer: str) -> None:
        """Add what came of it, after what came of it before."""
        self.answer = f"{self.answer} -> {answer}" if self.answer else answer

    def __str__(self) -> str:
        return f"{self.call} -> {self.answer}" if self.answer else self.call


def plural(count: int, noun: str = "block") -> str:
    """ "1 block", "2 blocks"."""
    return f"{count} {noun}" + ("s" if count != 1 else "")
