"""How a law of the course is declared, and the graph that laws form.

A law is a function that takes a `CheckContext` and returns nothing; it raises `Broken` when the
part breaks it. The module `graders/exercises/<slug>/laws.py` holds the laws of an exercise in
reading order and nothing heavy at its top: `course list` imports it, so hypothesis, torch and the
worker are imported inside the functions that use them.

    from graders.checking.check_context import CheckContext
    from graders.registry.law import LawBook

    LAWS = LawBook(exercise=1)

    @LAWS.law(
        "copy-on-write",
        statement="A block with ref > 1 is never written: the writer gets a fresh one and a Copy.",
        points=10,
        needs=("sharing",),
        hints=("where to look", "the idea", "almost the code"),
    )
    def copy_on_write(context: CheckContext) -> None:
        explore(context, CowGame, cases=120)

Numbers are given in order of declaration ("1.1", "1.2", …); `needs` names laws declared above. A
law whose needs did not all pass is SKIPPED. `kind` is "unit" (the part alone), "engine" (the real
engine's tokens) or "throughput" (timed; left out by `laws_only`).

What a check has in hand is in `graders.checking.check_context.CheckContext`; how random traces are
drawn and shrunk in `graders.checking.random_cases`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from graders.registry.parts import Number, exercise_of, place
from graders.result import Outcome

Check = Callable[[Any], None]
"""Takes a `graders.checking.check_context.CheckContext`, of a room that knows this one."""
Kind = Literal["unit", "engine", "throughput"]


@dataclass(frozen=True, slots=True)
class Law:
    """One law: what it says, what it is worth, which laws must hold before it is tried, and how it
    is tried.

    number: "1.4". name: two or three words, unique in the exercise. statement: one sentence a
    learner can check their code against. needs: numbers of other laws. hints: three, from "where to
    look" to "almost the code". ahead: a driver under graders/sandbox/guest that takes long to
    import (torch); `crew` workers do so from the start (`CheckContext.ahead`), those of a timed law
    from the middle of the run. imports: a module that the grader itself takes long to import for
    it, which it does while the first worker starts. elsewhere: by name of a habit (see
    `graders.checking.failure.Deviation`) a sentence that says which engine has it, and what is
    asked here.
    """

    number: str
    name: str
    statement: str
    points: float
    needs: tuple[str, ...]
    hints: tuple[str, str, str]
    check: Check
    kind: Kind = "unit"
    ahead: str = ""
    crew: int = 1
    imports: str = ""
    elsewhere: Mapping[str, str] = field(default_factory=dict, hash=False)

    @property
    def exercise(self) -> Number:
        return exercise_of(self.number)

    @property
    def order(self) -> tuple[tuple[int, str], int]:
        """Sorting key: 1.10 comes after 1.9."""
        return place(self.exercise), int(self.number.partition(".")[2])


class LawBook:
    """The laws of one exercise, in order of declaration. elsewhere: of each of them."""

    def __init__(self, exercise: Number, elsewhere: Mapping[str, str] | None = None) -> None:
        self.exercise = exercise
        self._elsewhere = dict(elsewhere or {})
        self._laws: list[Law] = []

    def __iter__(self) -> Iterator[Law]:
        return iter(self._laws)

    def law(
        self,
        name: str,
        *,
        statement: str,
        points: float,
        hints: tuple[str, str, str],
        needs: tuple[str, ...] = (),
        kind: Kind = "unit",
        ahead: str = "",
        crew: int = 1,
        imports: str = "",
    ) -> Callable[[Check], Check]:
        """Declare the decorated function as the next law. `needs`: names of laws declared above
        (else ValueError)."""
        numbers = {law.name: law.number for law in self._laws}
        unknown = [need for need in needs if need not in numbers]
        if name in numbers or unknown:
            raise ValueError(
                f"law {name!r}: declared twice or needs laws not declared above: {unknown}"
            )
        number = f"{self.exercise}.{len(self._laws) + 1}"

        def declare(check: Check) -> Check:
            needed = tuple(numbers[need] for need in needs)
            told = number, name, statement, points, needed, hints, check
            self._laws.append(Law(*told, kind, ahead, crew, imports, self._elsewhere))
            return check

        return declare


def choose(
    laws: Iterable[Law], only: Iterable[str] | None = None, *, laws_only: bool = False
) -> tuple[Law, ...]:
    """The laws to try, in order: all, or those numbered in `only`; `laws_only` leaves the timed
    ones out.

    Raises KeyError with the first number that no law has.
    """
    every = {law.number: law for law in laws}
    wanted = tuple(every) if only is None else tuple(dict.fromkeys(only))
    chosen = sorted((every[number] for number in wanted), key=lambda law: law.order)
    return tuple(law for law in chosen if not (laws_only and law.kind == "throughput"))


def unmet(law: Law, outcomes: dict[str, Outcome]) -> tuple[str, ...]:
    """Which of the law's needs were tried and did not pass (a need that was not asked for stands in
    nobody's way)."""
    return tuple(need for need in law.needs if outcomes.get(need, Outcome.PASS) is not Outcome.PASS)


def with_needs(number: str, laws: Iterable[Law]) -> list[str]:
    """The law's number after those of all laws that must hold before it is tried, in order.
    KeyError for no law."""
    every = {law.number: law for law in laws}
    wanted = {number}
    for law in sorted(every.values(), key=lambda law: law.order, reverse=True):
        wanted.update(law.needs if law.number in wanted else ())
    return sorted(wanted, key=lambda each: every[each].order)
