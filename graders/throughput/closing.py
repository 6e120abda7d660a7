"""The law that closes every exercise: the engine with the part is fast enough. Nothing heavy at the top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from graders.failure import Broken
from graders.law import LawBook
from graders.result import Outcome

if TYPE_CHECKING:
    from graders.bench import Bench

POINTS = 20
NAME = "fast enough"
STATEMENT = (
    "The engine with your part serves fresh requests at least as fast as the bounds ask: beside the reference engine, "
    "now, and beside vLLM, through a baseline card or live."
)


def add_throughput(laws: LawBook, *, needs: Sequence[str], hints: tuple[str, str, str]) -> None:
    """Declare the timed law as the last of an exercise."""
    declare = laws.law(
        NAME,
        statement=STATEMENT,
        points=POINTS,
        needs=tuple(needs),
        hints=hints,
        kind="throughput",
        ahead="throughput",
        crew=2,
    )
    declare(fast_enough)


def fast_enough(bench: Bench) -> None:
    """Time every workload of the exercise. Raises Broken when a bound is missed, undecided or too good to be true."""
    from contextlib import ExitStack

    from graders.throughput.bounds import BadBounds, measures
    from graders.throughput.timing import Rooms, timed, together

    try:
        found = measures(bench.exercise.number, beside=bench.beside)
    except BadBounds as bad:
        raise Broken(f"Not timed: {bad}", outcome=Outcome.UNGRADED) from None
    if not found:
        raise Broken("Not timed: no bound is set for this class of device.", outcome=Outcome.UNGRADED)
    with ExitStack() as stack:
        rooms = Rooms(bench, stack)
        worst = together([timed(bench, measure, rooms) for measure in found])
    bench.score = worst.score
    if worst.outcome is not Outcome.PASS:
        raise Broken(worst.message, outcome=worst.outcome)
