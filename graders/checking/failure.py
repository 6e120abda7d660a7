"""How a check says that a part broke a law, and the story it tells while it plays."""

from __future__ import annotations

import ast
import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from graders.result import Location, Outcome, Reason, Story

MOST_TOLD = 12  # cases of one law whose messages are told beside the first
Refusals = dict[str, str]  # the exceptions that the contract allows here -> why


class Deviation(Exception):
    """The part did something that the contract does not allow. `message`: one sentence, naming the
    fault.

    habit: under which name the exercise's laws tell of an engine that does it so; empty where none
    is known to.
    """

    def __init__(self, message: str, got: str, expected: str, habit: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.got = got
        self.expected = expected
        self.habit = habit


class Replayable(Protocol):
    """Calls written down, which can be judged again."""

    def judge(self) -> None:
        """Raise Broken, with a `trace` of what was played until then, if the part breaks the law."""

    def replay(self) -> None:
        """Make the calls that were judged last once more, and no others, for what the part prints."""

    def shorter(self) -> Iterator[Replayable]:
        """The same calls without one of them (and those that make no sense without it), then with
        simpler values.

        What is refused, and what is not, stays so: a shorter story must not be about another law.
        """


class Broken(Exception):
    """Raised by a check: the part broke the law. `message` is one sentence in plain words, naming
    the fault.

    outcome: FAIL unless the part died (CRASH), hung (TIMEOUT) or tampered (INVALID).
    method: the method to look at; the grader turns it into a location.
    story: the steps that lead there.
    location: where to look, where there is no story.
    reason: what it is about, where that is not the law itself.
    trace: the calls of the story, where they can be made again without some of them.
    habit: see `Deviation`.
    """

    trace: Replayable | None = None
    habit: str = ""

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


class Together:
    """Named cases of one law, tried to the end, so that all that is wrong with them is told at
    once.

    together = Together()
    for case in CASES:
        with together.case():
            ...                     # raises Broken
    together.tell()
    """

    def __init__(self) -> None:
        self.found: list[Broken] = []

    @contextlib.contextmanager
    def case(self) -> Iterator[None]:
        """One of the cases. What is no plain failure, or about code that is not written, ends them
        all."""
        try:
            yield
        except Broken as broken:
            if broken.outcome is not Outcome.FAIL or broken.reason is not Reason.LAW:
                raise
            self.found.append(broken)

    def tell(self, first: Broken | None = None) -> None:
        """Raise the first that broke, if any did, with what is wrong with the others. first: told
        instead of it."""
        if not self.found:
            return
        told = first or self.found[0]
        others = list(
            dict.fromkeys(each.message for each in self.found[1:] if each.message != told.message)
        )
        lines = [f"Likewise: {message}" for message in others[:MOST_TOLD]]
        more = [f"And {len(others) - MOST_TOLD} more."] if len(others) > MOST_TOLD else []
        told.message = "\n".join([told.message, *lines, *more])
        raise told


@dataclass(slots=True)
class Step:
    """One line of a story as it is told. call: as the learner would write it. answer: what came of
    it, may be empty; of what is not a text the text is made when the story is told, for most never
    are.

    code: the Python of it, where `call` is none; what it comes to is called `answer` there. raised:
    it ended so.
    """

    call: str
    answer: object = ""
    code: str = ""
    raised: bool = False

    def answered(self, answer: object) -> None:
        """Add what came of it, after what came of it before."""
        self.answer = f"{self.answer} -> {answer}" if self.answer else answer

    def script(self, *, last: bool) -> str:
        """The Python of it, "" where there is none. What raised goes on, unless it is the last:
        there one looks."""
        try:
            ast.parse(self.code)
        except (SyntaxError, ValueError):  # told in words
            return ""
        if not self.raised or last or not self.code:
            return self.code
        lines = "\n".join(f"    {line}" for line in self.code.split("\n"))
        return f"try:\n{lines}\nexcept Exception as error:\n    answer = error"

    def __str__(self) -> str:
        return f"{self.call} -> {self.answer}" if self.answer else self.call


def plural(count: int, noun: str = "block") -> str:
    """ "1 block", "2 blocks"."""
    return f"{count} {noun}" + ("s" if count != 1 else "")
