"""The outputs of a law's cell: the feedback as text, then what nbgrader reads as the score.

nbgrader fails open: a cell without a number in its outputs gets full points, and so does one with a
number that it cannot read. So each cell gets either an error, which is zero, or exactly one finite
number in range.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from course import rendering
from course.terminal import clean, shorten
from graders.result import ExerciseResult, LawResult, Outcome, Reason

Output = dict[str, Any]

INVALID = "Tampering"  # the name of the error for an invalid law; a person looks at it
PERSON = "NeedsAPerson"  # of every law of a hand-in that is in doubt
NOT_TIMED = "NotTimed"  # of a timed law that was left out
NAMES = {
    Outcome.FAIL: "LawBroken",
    Outcome.SKIPPED: "NotJudgedYet",
    Outcome.TIMEOUT: "DidNotComeBack",
    Outcome.CRASH: "Crashed",
    Outcome.INVALID: INVALID,
}
LONGEST = 300  # characters of the one line that names the fault


class Ungraded(Exception):
    """Nothing may be written to the gradebook: the fault is not the submission's. The text says
    whose it is."""


class Advisory(Ungraded):
    """Judged, but at less isolation than the instructor requires."""


def is_ungraded(result: ExerciseResult) -> bool:
    """Whether any law could not be judged. One is enough: a score without it would be wrong.

    Where a person has to decide what was handed in, that is the verdict.
    """
    return not result.laws or any(
        law.outcome is Outcome.UNGRADED for law in result.laws if not result.needs_person
    )


def reasons(result: ExerciseResult) -> str:
    """Why laws could not be judged, in one line."""
    found = [law.message for law in result.laws if law.outcome is Outcome.UNGRADED and law.message]
    return clean(" ".join(dict.fromkeys(found)) or result.problem or "no law was tried").replace(
        "\n", " "
    )


def outputs(law: LawResult) -> list[Output]:
    """What the cell of this law shows and scores. Raises `Ungraded` for a law that was not judged."""
    if law.reason is Reason.PERSON:
        line = f"{PERSON}: {shorten(clean(law.message).replace(chr(10), ' '), LONGEST)}"
        return [{"output_type": "error", "ename": PERSON, "evalue": line, "traceback": [line]}]
    if law.outcome is Outcome.UNGRADED:
        raise Ungraded(law.message)
    if not (math.isfinite(law.points) and 0 <= law.points <= law.max_points):
        raise Ungraded(f"law {law.number} came with {law.points} of {law.max_points} points.")
    said = [_stream(told(law))]
    if law.points > 0:
        data = {"text/plain": repr(float(law.points))}
        return [
            *said,
            {"output_type": "execute_result", "execution_count": 1, "data": data, "metadata": {}},
        ]
    return [*said, _error(law)]


def not_timed(name: str) -> list[Output]:
    """What the cell of a timed law shows when only the others were judged. It is an error, so that
    nothing reads points into it."""
    line = f"{NOT_TIMED}: {name} was left out this time; a score that it has stays."
    return [{"output_type": "error", "ename": NOT_TIMED, "evalue": line, "traceback": [line]}]


def told(law: LawResult) -> str:
    """The feedback on one law: its line, and where it broke the law, the story and what the part
    printed."""
    lines = [rendering.law_line(law).plain.strip()]
    if law.outcome.failed:
        advice = f"course hint {law.number}"
        lines += ["", *(line.plain for line in rendering.failure(law, advice))]
    return "\n".join(lines) + "\n"


def summary(result: ExerciseResult, found: str, notices: Iterable[str] = ()) -> list[Output]:
    """What the solution cell shows: what was graded, the points, what was measured, what was out of
    order."""
    lines = [f"Graded: {found}.", *(f"Note: {notice}" for notice in notices), ""]
    if result.problem:
        lines.append(clean(result.problem))
    lines.append(rendering.summary(result).plain)
    lines += [line.plain for line in rendering.figure_lines(result.figures)]
    return [_stream("\n".join(lines) + "\n")]


def _stream(text: str) -> Output:
    return {"output_type": "stream", "name": "stdout", "text": text}


def _error(law: LawResult) -> Output:
    name = NAMES.get(law.outcome, "NoPoints")
    said = shorten(clean(law.message or rendering.WORDS[law.outcome]).replace("\n", " "), LONGEST)
    line = f"law {law.number}, {law.name}: {said}"
    return {"output_type": "error", "ename": name, "evalue": line, "traceback": [f"{name}: {line}"]}
