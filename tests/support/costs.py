"""What isolation adds to a check, and the wire to a timed run.

    python tests/support/costs.py [isolation | wire] …

isolation: one law on one part, again and again and in turns: in a process with no lock at all, at
L1, at the highest level of this machine; medians of the whole check, and of starting and ending its
worker. wire: a timed law, the questions asked while the clock ran, and what an idle question costs.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from hostile import suite  # noqa: E402

import solutions  # noqa: E402
from graders import grade  # noqa: E402
from graders.registry.catalogue import catalogue  # noqa: E402
from graders.sandbox.isolation import HIGHEST, Limits  # noqa: E402
from graders.sandbox.isolation.levels import LOCKS  # noqa: E402
from graders.sandbox.worker import Worker  # noqa: E402
from graders.throughput.timed_engine import TimedEngine, TimedRun  # noqa: E402
from graders.workloads import Trace  # noqa: E402

ROUNDS = 25
ASKED = 64  # two looks of the worker at what a part may not change are among them
EXERCISE = (
    2  # its requests arrive one by one: a question for each step of the engine, the most there are
)
NONE = "none"
WAYS = {NONE: ("L1", LOCKS), "L1": ("L1", ()), HIGHEST: (HIGHEST, ())}  # level, locks to do without
Medians = dict[str, float]


def main() -> int:
    for what in sys.argv[1:] or ["isolation", "wire"]:
        print({"isolation": told_isolation, "wire": told_wire}[what](), flush=True)
    return 0


# ---------------------------------------------------------------- isolation


def told_isolation() -> str:
    lines = []
    for name, medians in (
        ("a check of one law", checks()),
        ("starting and ending a worker", workers()),
    ):
        words = [f"{level} {seconds * 1000:.0f} ms" for level, seconds in medians.items()]
        added = [
            f"{level} +{(medians[level] - medians[NONE]) * 1000:.0f} ms"
            for level in list(medians)[1:]
        ]
        lines.append(f"{name}: {', '.join(words)}; added: {', '.join(added)}")
    return "\n".join(lines)


def checks(rounds: int = ROUNDS) -> Medians:
    """Seconds of a whole check, by level."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "block_manager.py")
        path.write_text(
            suite.whole("from right import Right\n\n\nclass BlockManager(Right):\n    pass\n")
        )
        return _medians(
            lambda level: grade(1, path, seed=suite.SEED, only=[suite.LAW], isolation=level), rounds
        )


def workers(rounds: int = ROUNDS) -> Medians:
    """Seconds to start a worker and to see it dead, by level."""
    return _medians(lambda level: Worker(level).end(), rounds)


def _medians(measured: Callable[[str], object], rounds: int) -> Medians:
    """In turns, so that what else the machine does hits all alike."""
    seconds: dict[str, list[float]] = {name: [] for name in WAYS}
    for number in range(rounds + 1):
        for name, (level, without) in WAYS.items():
            with suite.lacking(*without):
                start = time.perf_counter()
                measured(level)
                if number:  # the first warms up
                    seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(spent) for name, spent in seconds.items()}


# ---------------------------------------------------------------- the wire


@dataclass(frozen=True, slots=True)
class WireCost:
    """questions: asked while the clock ran, for `seconds`. trip: seconds of an idle question and
    its answer."""

    questions: int
    seconds: float
    trip: float

    @property
    def share(self) -> float:
        return self.questions * self.trip / self.seconds


def told_wire() -> str:
    cost = wire()
    words = f"{cost.questions} questions of {cost.trip * 1e6:.0f} µs in {cost.seconds:.2f} s that were timed"
    return f"the wire: {words}: {cost.share:.2%}"


def wire() -> WireCost:
    """Of the law that asks the most. AssertionError if the solution does not pass it."""
    asked: list[str] = []
    timed: list[tuple[int, float]] = []
    exchange, serve = Worker._exchange, TimedEngine.serve

    def asking(worker: Worker, question: dict[str, Any], *limits: float) -> dict[str, Any]:
        asked.append(question["do"])
        return exchange(worker, question, *limits)

    def serving(room: TimedEngine, trace: Trace) -> TimedRun:
        before = len(asked)
        served = serve(room, trace)
        timed.append((len(asked) - before, served.seconds))
        return served

    entry = catalogue(EXERCISE)
    laws = [law.number for law in entry.laws if law.ahead == "throughput"]
    with (
        mock.patch.object(Worker, "_exchange", asking),
        mock.patch.object(TimedEngine, "serve", serving),
    ):
        result = grade(
            EXERCISE, Path(solutions.__path__[0], entry.slug, entry.file_name), only=laws
        )
    assert result.passed, result.laws[0].message
    questions, seconds = (sum(values) for values in zip(*timed, strict=True))
    return WireCost(int(questions), seconds, round_trip())


def round_trip() -> float:
    """Seconds for a question of the kind that is asked under the clock and its answer, when there
    is nothing to do."""
    rounds = []
    with Worker(limits=Limits(packages=True)) as worker:
        worker.ask("driver", slot="throughput", cpu=120, wall=300)
        for _ in range(ROUNDS):
            start = time.perf_counter()
            for _ in range(ASKED):
                worker.ask("call", calls=[], watch=None)
            rounds.append((time.perf_counter() - start) / ASKED)
    return statistics.median(rounds)


if __name__ == "__main__":
    sys.exit(main())
