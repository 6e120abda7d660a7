"""Some laws of a class judged again, the verdicts on the others kept: after a law was mended or
bounds were changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Sequence
from pathlib import Path

from graders.batch.journal import Journal
from graders.registry.catalogue import catalogue
from graders.registry.law import unmet
from graders.registry.parts import exercise_of, place
from graders.reports.row import Row
from graders.result import ExerciseResult, LawResult, Outcome

FOLDER = "regrade"  # in the journal's; its own jobs, whose results are no whole verdicts


def journal_of(journal: Journal) -> Journal:
    """The journal of what is judged again of a batch."""
    return Journal(Path(journal.root, FOLDER))


def with_dependents(numbers: Collection[str]) -> tuple[str, ...]:
    """The laws and whatever law needs one of them: it may have been skipped. KeyError for a number
    that no law has."""
    found: list[str] = []
    for exercise in sorted({exercise_of(number) for number in numbers}, key=place):
        laws = catalogue(exercise).laws
        asked = {number for number in numbers if number.startswith(f"{exercise}.")}
        if unknown := asked - {law.number for law in laws}:
            raise KeyError(min(unknown))
        for law in laws:  # in order: needs come first
            if law.number in asked or set(law.needs) & asked:
                asked.add(law.number)
                found.append(law.number)
    return tuple(found)


def merged(before: Row, again: Row) -> Row | None:
    """The row with the laws that were judged again in the place of the old verdicts.

    None when it is not the same text that was judged before: then all of it has to be judged.
    """
    old, new = before.result, again.result
    if not new.digest or new.digest != old.digest:
        return None
    fresh = {law.number: law for law in new.laws}
    outcomes: dict[str, Outcome] = {}
    laws = []
    for law in old.laws:
        laws.append(_decided(fresh.get(law.number, law), outcomes))
        outcomes[law.number] = laws[-1].outcome
    return dataclasses.replace(again, result=_joined(old, new, laws), key=before.key)


def changes(before: Row, after: Row) -> list[tuple[str, float, float]]:
    """The laws whose points are others now, with both."""
    old = {law.number: law.points for law in before.result.laws}
    return [
        (law.number, old[law.number], law.points)
        for law in after.result.laws
        if law.points != old[law.number]
    ]


def _decided(law: LawResult, outcomes: dict[str, Outcome]) -> LawResult:
    """The law's result; skipped when one that it needs did not pass, which was not asked when it
    was judged alone."""
    declared = {each.number: each for each in catalogue(int(law.number.partition(".")[0])).laws}
    missing = unmet(declared[law.number], outcomes)
    if not missing or law.outcome is Outcome.SKIPPED:
        return law
    said = f"needs {', '.join(missing)} first"
    return LawResult(
        law.number, law.name, law.statement, Outcome.SKIPPED, 0.0, law.max_points, said
    )


def _joined(old: ExerciseResult, new: ExerciseResult, laws: Sequence[LawResult]) -> ExerciseResult:
    return dataclasses.replace(
        old,
        laws=tuple(laws),
        figures=new.figures or old.figures,
        isolation=min(old.isolation, new.isolation),
        advisory=old.advisory or new.advisory,
        grader=new.grader,
        problem=old.problem or new.problem,
    )
