"""A trace that breaks a law, made shorter call by call: when it ends, no call can be left out of
the story any more.

Random cases are made simpler as numbers (`graders.checking.random_cases`); a call there hangs
together with those before it, and stories that are the same in every run are not made of numbers at
all. So the calls themselves are left out here, each in turn, as long as what is left breaks the law
too.
"""

from __future__ import annotations

import re
import time

from graders.checking.failure import Broken, Replayable
from graders.result import Outcome
from graders.sandbox.isolation import MachineFault

NUMBER = re.compile(r"\d{1,9}")
WAITING = 5.0  # seconds of the clock


def shorten(broken: Broken, *, seconds: float) -> Broken:
    """The same or, with fewer calls or smaller values, another that breaks the law; what is no FAIL
    stays as it is.

    Signs of tampering that are met on the way are told instead.
    seconds: of our CPU time, at most.
    """
    begun, waited = time.process_time(), time.monotonic()
    best: Broken | None = broken
    while best is not None:
        broken, best = best, None
        for trace in (
            broken.trace.shorter() if broken.trace and broken.outcome is Outcome.FAIL else ()
        ):
            if time.process_time() - begun > seconds or time.monotonic() - waited > WAITING:
                break
            found = _broken_by(trace)
            if found is not None and found.outcome is Outcome.INVALID:
                return found
            if found is not None and found.outcome is Outcome.FAIL and size(found) < size(broken):
                best = found
                break
    return broken


def size(broken: Broken) -> tuple[int, int, int]:
    """Calls of the story, then characters in them, then all of their numbers together."""
    steps = broken.story.steps if broken.story else ()
    return (
        len(steps),
        sum(map(len, steps)),
        sum(int(number) for step in steps for number in NUMBER.findall(step)),
    )


def _broken_by(trace: Replayable) -> Broken | None:
    try:
        trace.judge()
    except Broken as broken:
        return broken
    except MachineFault:  # the verdict stands; only a shorter story is not to be had
        return None
    return None
