"""What every report says in words: about a law that broke, and about a whole row."""

from __future__ import annotations

from graders.reports.plain import legal, line, number
from graders.reports.row import Row
from graders.result import Figure, LawResult, Outcome, Story


def title(law: LawResult) -> str:
    """ "1.4 copy-on-write"."""
    return f"{law.number} {law.name}"


def feedback(law: LawResult) -> str:
    """Everything a learner needs about one law, many lines of legal text; what the part printed
    where it broke one."""
    parts = [law.statement, f"{law.outcome}: {law.message}" if law.message else str(law.outcome)]
    if law.story is not None:
        parts += ["", story(law.story)]
    if law.output.strip() and law.outcome is not Outcome.PASS:
        parts += ["", "It printed:", law.output.rstrip()]
    return legal("\n".join(parts))


def story(told: Story) -> str:
    """The story as it is told on the terminal."""
    lines = [f"  {number + 1}. {step}" for number, step in enumerate(told.steps)]
    lines += [f"  got       {told.got}", f"  expected  {told.expected}"]
    lines += [f"  look at   {told.where}"] if told.where else []
    lines += [f"  again     {told.replay}"] if told.replay else []
    return "\n".join([*lines, *(f"  {each}" for each in told.traceback)])


def line_of(law: LawResult) -> int:
    """The line of the part to look at; 0 when unknown."""
    return law.story.location.line if law.story else 0


def verdict(row: Row) -> str:
    """One line: what became of it, and why."""
    result = row.result
    if result.problem:
        return line(result.problem)
    laws = broken(row)
    if not laws:
        said = "every law holds" if result.passed else _reason(row)
    else:
        said = f"{title(laws[0])}: {laws[0].message or laws[0].outcome}"
    return line(" ".join([said, *(f"({notice})" for notice in row.notices)]))


def broken(row: Row) -> tuple[LawResult, ...]:
    """The laws that the part is to blame for; none of a part that could not be tried at all."""
    return () if row.problem else tuple(law for law in row.result.laws if law.outcome.failed)


def score(row: Row) -> str:
    """ "35/40"."""
    return f"{number(row.result.points)}/{number(row.result.max_points)}"


def ungraded(row: Row) -> bool:
    """Whether some law could not be judged, so that the points say nothing yet."""
    return any(law.outcome is Outcome.UNGRADED for law in row.result.laws)


def state(row: Row) -> str:
    """The outcome; "ungraded" as soon as anything is, "quarantined" when nobody will try again,
    "needs a person" when what was handed in is in doubt."""
    if row.result.needs_person:
        return "needs a person"
    if row.quarantined:
        return "quarantined"
    return "ungraded" if ungraded(row) else str(row.result.outcome)


def is_speed(figure: Figure) -> bool:
    """Whether a figure is a ratio of speeds, in which more is better: 1.2 of unit "x"."""
    return figure.unit == "x"


def _reason(row: Row) -> str:
    return next(
        (law.message for law in row.result.laws if law.outcome is Outcome.UNGRADED and law.message),
        "",
    )
