"""Functions of a part that are formulas: called with what a case has drawn, compared with a
specification.

A formula that comes out wrong is often a right one of something else: a term left out, counted
twice, taken for another. `Mistake`s are such formulas. One that gives what the part gave, here and
on other questions, is told.
"""

from __future__ import annotations

import math
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, field
from typing import Any

from graders.checking.call_recorder import CallRecorder
from graders.checking.check_context import CheckContext
from graders.checking.failure import Broken
from graders.checking.replies import Raised, Reply, shown
from reference_engine.slots import Shape

CLOSE = 1e-9  # relative; what order of summation and rounding may differ by
NAMES: Mapping[type, str] = {int: "an int", float: "a float", list: "a list of tuples"}
Terms = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Question:
    """What a formula is asked."""

    args: tuple[Any, ...] = ()
    keywords: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, *args: Any, **keywords: Any) -> Question:
        """As a call has it."""
        return cls(args, keywords)

    def put(self, function: Callable[..., Any]) -> Any:
        """What a function answers."""
        return function(*self.args, **self.keywords)

    def __str__(self) -> str:
        words = [
            *map(written, self.args),
            *(f"{name}={written(each)}" for name, each in self.keywords.items()),
        ]
        return ", ".join(words)


@dataclass(frozen=True, slots=True)
class Mistake:
    """told: what is wrong, as it stands after "it comes out so when". formula: what comes out then."""

    told: str
    formula: Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Formula:
    """name: of the function. right: the specification. noun: what it counts; "" where it is a
    float.

    mistakes: what may be told of a wrong answer, the likeliest first. terms: what the count is the
    sum of; each may be left out or counted twice. probes: questions on which mistakes are told
    apart. optional: None is an answer, too. remark: what else is to be said of a wrong answer,
    given it and the question.
    """

    name: str
    right: Callable[..., Any]
    noun: str = ""
    mistakes: Sequence[Mistake] = ()
    terms: Callable[..., Terms] | None = None
    probes: Sequence[Question] = ()
    optional: bool = False
    remark: Callable[..., str] = lambda got, *args, **keywords: ""

    def wrong_ones(self, asked: Question) -> Iterator[Mistake]:
        """All that may be told: the mistakes, then those about a single term."""
        yield from self.mistakes
        names = list(asked.put(self.terms)) if self.terms else []
        yield from (Mistake(f"{name} is left out", self._with(name, -1)) for name in names)
        yield from (Mistake(f"{name} is counted twice", self._with(name, 1)) for name in names)

    def _with(self, name: str, times: int) -> Callable[..., int]:
        """The count with so many times that term more."""

        def formula(*args: Any, **keywords: Any) -> int:
            assert self.terms is not None
            terms = self.terms(*args, **keywords)
            return sum(terms.values()) + times * terms.get(name, 0)

        return formula


class FormulaRecorder(CallRecorder):
    """The recorder of a lab: its driver tells beside each answer whether the arguments were
    changed."""

    def _outcome_shown(self, reply: Reply) -> None:
        if isinstance(reply, Raised):
            super()._outcome_shown(reply)
        else:
            self.steps[-1].answered(written(answer_of(reply.value)[0]))


class FormulaJudge:
    """The functions of one part. label: of the module. imports: what a script needs beside it."""

    def __init__(self, context: CheckContext, imports: str = "") -> None:
        slot = context.exercise.slot
        self._context, self._imports = context, imports
        self.recorder = FormulaRecorder(context, slot, slot, f"import {slot}\n{imports}".rstrip())
        raised = self.recorder.new((slot,), {}, "import")
        self.recorder.steps.clear()
        if raised:
            self.recorder.unexpected(raised, "a module")

    def judge(self, formula: Formula, *args: Any, because: str = "", **keywords: Any) -> Any:
        """Call the function, positional arguments first, and compare; what was due. because: of a
        wrong answer."""
        asked = Question(args, keywords)
        due, got = asked.put(formula.right), self.ask(formula, asked)
        if not same(got, due):
            remark = formula.remark(got, *args, **keywords)
            told = (
                _deviation(formula, got, due),
                remark,
                self._mistake(formula, asked, got),
                because,
            )
            message = " ".join(filter(None, told))
            self.recorder.broken(message, got=written(got), expected=written(due))
        return due

    def counted(
        self, name: str, noun: str, due: int, because: str, *args: Any, **keywords: Any
    ) -> None:
        """As `judge`, where the right answer was not computed but counted. because: by whom."""
        self.judge(Formula(name, lambda *_, **__: due, noun), *args, because=because, **keywords)

    def ask(self, formula: Formula, asked: Question) -> Any:
        """What the function answers, of a fitting type; the arguments must be as they were."""
        wire = [
            [sent(each) for each in asked.args],
            {name: sent(each) for name, each in asked.keywords.items()},
        ]
        due = self.recorder.awaited = written(asked.put(formula.right))
        reply, _ = self.recorder.call(formula.name, wire, f"{formula.name}({asked})")
        if isinstance(reply, Raised):
            self.recorder.unexpected(reply, due)
        got, changed = answer_of(reply.value)
        if changed:
            message = (
                f"`{formula.name}` changed its arguments; no function changes what it is given."
            )
            self.recorder.broken(
                message, got="other arguments after the call", expected="arguments as they were"
            )
        if fault := _type_fault(formula, got, asked.put(formula.right)):
            self.recorder.broken(f"`{formula.name}` {fault}", got=written(got), expected=due)
        return got

    def _mistake(self, formula: Formula, asked: Question, got: Any) -> str:
        """The mistake that explains this answer and those to the probes; "" if none does."""
        found = [each for each in formula.wrong_ones(asked) if same(got, asked.put(each.formula))]
        for probe in formula.probes if found else ():
            try:
                answer = FormulaJudge(self._context, self._imports).ask(formula, probe)
            except Broken:
                return ""
            found = [each for each in found if same(answer, probe.put(each.formula))]
        return f"It comes out so when {found[0].told}." if found else ""


def same(got: Any, due: Any) -> bool:
    """Exactly equal; numbers that are no counts nearly, lists in any order."""
    if type(due) is float and type(got) in (int, float):
        return math.isclose(got, due, rel_tol=CLOSE, abs_tol=CLOSE)
    if type(due) is list:
        return type(got) is list and sorted(map(repr, got)) == sorted(map(repr, due))
    return type(got) is type(due) and bool(got == due)


def answer_of(value: Any) -> tuple[Any, bool]:
    """What a function returned, and whether it changed what it was given."""
    if type(value) is not list or len(value) != 2 or type(value[1]) is not bool:
        return value, False
    return _received(value[0]), value[1]


def _received(data: Any) -> Any:
    """Lists and tuples as they were returned."""
    if (
        type(data) is not list
        or len(data) != 2
        or type(data[0]) is not int
        or type(data[1]) is not list
    ):
        return data
    items = [_received(item) for item in data[1]]
    return tuple(items) if data[0] else items


def sent(value: Any) -> Any:
    """An argument as the driver takes it."""
    if isinstance(value, Shape):
        return ["shape", list(astuple(value))]
    if isinstance(value, range):
        return ["range", [value.start, value.stop]]
    if isinstance(value, Mapping):
        return [
            "map" if isinstance(value, dict) else "view",
            [["list", [sent(key), sent(each)]] for key, each in value.items()],
        ]
    if isinstance(value, list | tuple):
        return [type(value).__name__, [sent(each) for each in value]]
    return value


def written(value: Any) -> str:
    """As Python has it; what is no plain value as stories tell it."""
    if isinstance(value, types.MappingProxyType):
        return f"MappingProxyType({dict(value)})"
    return (
        shown(value)
        if type(value) is dict and set(value) <= {"type", "s", "copy"} and value
        else repr(value)
    )


def _type_fault(formula: Formula, got: Any, due: Any) -> str:
    """What is wrong with the type of an answer; "" if it fits."""
    kinds = {float: (float, int), list: (list,)}.get(
        type(due), (int, type(None)) if formula.optional else (int,)
    )
    if type(got) in kinds:
        return ""
    if got is None:
        return "returned nothing; is a return missing?"
    if type(got) is float:
        return f"returned the float {got!r}: {formula.noun} are counted in ints; // divides ints, / makes floats."
    return f"returned {written(got)}; {NAMES[kinds[0]]} is due."


def _deviation(formula: Formula, got: Any, due: Any) -> str:
    """How far off it is, in words."""
    if type(got) is int and type(due) is int and formula.noun:
        more, noun = (
            "too many" if got > due else "too few",
            formula.noun.removesuffix("s" if got == 1 else ""),
        )
        be = "is" if due == 1 else "are"
        return (
            f"`{formula.name}` gives {got:,} {noun}, {abs(got - due):,} {more}; {due:,} {be} due."
        )
    return f"`{formula.name}` gives {written(got)} where {written(due)} is due."
