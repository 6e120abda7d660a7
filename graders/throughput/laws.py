"""The law that closes every exercise: the engine with the part is fast enough. Nothing heavy at the
top."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from graders.checking.failure import Broken
from graders.registry.law import LawBook
from graders.result import Outcome

if TYPE_CHECKING:
    from graders.checking.check_context import CheckContext

POINTS = 20
NAME = "fast enough"
STATEMENT = (
    "The engine with your part serves fresh requests at least as fast as the bounds ask: beside the reference engine, "
    "now, and beside vLLM, through a baseline card or live; so do your part's calls alone, beside the reference's."
)
CALLS_ALONE = (
    "Your part's calls alone, many on fresh inputs in turns with the reference's, are as fast as the bounds ask; no "
    "engine is timed."
)


def add_throughput(
    laws: LawBook,
    *,
    needs: Sequence[str],
    hints: tuple[str, str, str],
    given: Callable[[CheckContext], list[Any]] = lambda _: [],
    statement: str = STATEMENT,
) -> None:
    """Declare the timed law as the last of an exercise.

    given: what the driver of the part's calls is told. statement: `CALLS_ALONE` where no engine is
    timed.
    """
    declare = laws.law(
        NAME,
        statement=statement,
        points=POINTS,
        needs=tuple(needs),
        hints=hints,
        kind="throughput",
        ahead="throughput",
        crew=2,
    )
    declare(lambda context: fast_enough(context, given))


def fast_enough(
    context: CheckContext, given: Callable[[CheckContext], list[Any]] = lambda _: []
) -> None:
    """Time every workload of the exercise, and the part's calls alone.

    Raises Broken when a bound is missed, undecided or too good to be true.
    """
    from contextlib import ExitStack

    from graders.throughput.bounds import BadBounds, measures, part_bounds, whose
    from graders.throughput.timing import TimedEngines, timed, timed_calls, together

    try:
        found = measures(context.exercise.number, beside=context.beside)
        calls = part_bounds(context.exercise.number, beside=context.beside)
        own = whose(context.exercise.number, beside=context.beside)
    except BadBounds as bad:
        raise Broken(f"Not timed: {bad}", outcome=Outcome.UNGRADED) from None
    if not found and not calls:
        raise Broken(
            "Not timed: no bound is set for this class of device.", outcome=Outcome.UNGRADED
        )
    with ExitStack() as stack:
        engines = TimedEngines(context, stack)
        with engines.alone():
            verdicts = [timed(context, measure, engines) for measure in found]
            if calls:
                verdicts.append(
                    timed_calls(
                        context, found[0] if found else None, calls, engines, given(context)
                    )
                )
    worst = together(verdicts)
    context.score = worst.score
    if own:  # passed or not, the verdict says by whose bounds
        context.figures[:] = [
            replace(each, note="; ".join(filter(None, (each.note, own))))
            for each in context.figures
        ]
    if worst.outcome is not Outcome.PASS:
        raise Broken(f"{worst.message} ({own})" if own else worst.message, outcome=worst.outcome)
