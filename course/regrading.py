"""`course grade --regrade LAW`: some laws judged again, and what that changes shown before it is
entered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from course.errors import Problem
from course.nbgrader_glue.notebook import law_id
from course.terminal import clean, console
from graders.batch import regrade
from graders.batch.journal import Journal
from graders.registry.parts import Number, exercise_of
from graders.reports.row import Row


@dataclass(frozen=True, slots=True)
class Regrade:
    """Which laws are judged again, and the rows of the batch as they were. laws: with those that
    need one of them."""

    laws: tuple[str, ...]
    before: dict[tuple[str, Number], Row]

    @property
    def exercises(self) -> tuple[Number, ...]:
        return tuple(dict.fromkeys(map(exercise_of, self.laws)))

    @property
    def cells(self) -> frozenset[str]:
        """Their cells in a gradebook."""
        return frozenset(map(law_id, self.laws))


def prepare(numbers: Sequence[str], journal: Journal) -> Regrade:
    """`Problem` for a law that there is not, and when nothing was judged yet."""
    try:
        laws = regrade.with_dependents(numbers)
    except (KeyError, ValueError) as unknown:
        raise Problem(f"there is no law {unknown.args[0]}.") from None
    before = {row.who: row for row in journal.committed()} if journal.root.is_dir() else {}
    if not before:
        raise Problem(
            f"nothing was judged in {journal.root} yet; --regrade judges laws of what was judged before."
        )
    return Regrade(laws, before)


def merge(asked: Regrade, rows: Sequence[Row]) -> tuple[Row, ...]:
    """The whole rows with the new verdicts, and what changes printed; whoever must be judged whole
    is named."""
    stdout, found, changed = console(), [], 0
    stdout.print(f"Judged again: {', '.join(asked.laws)}.", soft_wrap=True)
    for row in rows:
        old = asked.before.get(row.who)
        whole = regrade.merged(old, row) if old else None
        if whole is None or old is None:
            said = "is not what was judged before, or could not be judged; grade the class without --regrade"
            stdout.print(
                clean(f"{row.shown}  {row.exercise}  {said}"), style="yellow", soft_wrap=True
            )
            continue
        found.append(whole)
        for law, then, now in regrade.changes(old, whole):
            changed += 1
            stdout.print(clean(f"{row.shown}  {law}  {then:g} -> {now:g}"), soft_wrap=True)
    stdout.print(f"{changed} laws have other points than before.", soft_wrap=True)
    return tuple(found)
