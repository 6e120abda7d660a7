"""Whether every wrong part dies at every seed by the law that is said to kill it, and every right
part lives.

    python tests/support/killing_laws.py [--seeds 20] [--first 0] [--only NAME] [--right] [1.4 2 …]

Laws or whole exercises; all of them if none is named. A wrong part is judged by the laws that it
names alone, in this process, and its story is made shorter only where the long one does not say
what it should: `course mutants` tries all laws, in the sandbox. --right: the right parts instead,
by the laws that are named. Laws that count or time a part, and what does not come back, have a
process each; laws in the engine and timed ones are left out unless they are named. Prints a line
for each part that is a surprise at some seed, then a table of the laws, and exits 1 if there is
any.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from unittest import mock

sys.path[:0] = [str(Path(__file__).parents[2]), str(Path(__file__).parents[1])]

from local_worker import LocalWorker  # noqa: E402
from wrong_parts import right_parts, wrong_parts  # noqa: E402

import solutions  # noqa: E402
from course.authoring.mutant_files import Mutant  # noqa: E402
from course.commands.mutants import as_expected  # noqa: E402
from graders import grade  # noqa: E402
from graders.registry.catalogue import catalogue, exercises  # noqa: E402
from graders.registry.law import Law  # noqa: E402
from graders.result import ExerciseResult  # noqa: E402

COSTS = ("constant time", "linear work", "swift plan")  # laws about what calls cost
ENDLESS = "did not come back"
LATEST = (
    3  # deaths of a law that are told: one by the last of its cases may be a hole at another seed
)


@dataclass(frozen=True, slots=True)
class Judged:
    """A part and the seeds at which it was a surprise, with what was seen at the first of them.

    cases: the most that a law had tried, at any seed, when the part died. seconds: CPU time of this
    process.
    """

    name: str
    laws: tuple[str, ...]
    seeds: tuple[int, ...]
    seen: str
    cases: int
    seconds: float

    def __str__(self) -> str:
        return f"  {self.name:<44} {', '.join(self.laws):<24} seeds {', '.join(map(str, self.seeds))}: {self.seen}"


def wrong(exercise: int, laws: list[Law], seeds: range, only: str = "") -> Iterator[Judged]:
    """Each wrong part of the exercise that names one of these laws first."""
    names = [law.name for law in laws]
    with tempfile.TemporaryDirectory() as folder:
        for part in wrong_parts(exercise):
            if part.laws[0] in names and only in part.name:
                named = [law for law in catalogue(exercise).laws if law.name in part.laws]
                yield _judged(exercise, part.write(Path(folder)), part, named, seeds)


def right(exercise: int, laws: list[Law], seeds: range, only: str = "") -> Iterator[Judged]:
    """Each right part of the exercise, the solution too."""
    entry = catalogue(exercise)
    for path in (Path(solutions.__path__[0], entry.slug, entry.file_name), *right_parts(exercise)):
        if only in path.stem:
            yield _judged(exercise, path, None, laws, seeds)


def _judged(
    exercise: int, path: Path, part: Mutant | None, laws: list[Law], seeds: range
) -> Judged:
    start, numbers = time.process_time(), [law.number for law in laws]
    apart = any(law.kind != "unit" or law.name in COSTS for law in laws) or (
        part and ENDLESS in part.says
    )
    odd, seen, cases = [], "", 0
    for seed in seeds:
        with ExitStack() as here:
            if not apart:
                here.enter_context(in_this_process())
            result = grade(exercise, path, seed=seed, only=numbers)
        if not as_expected(part, result) and part and _broken(result):
            result = grade(exercise, path, seed=seed, only=numbers)
        cases = max([cases, *(law.cases for law in result.laws if law.outcome.failed)])
        if not as_expected(part, result):
            odd.append(seed)
            seen = seen or _broken(result) or result.problem or "lives"
    name = part.name if part else path.stem
    return Judged(name, tuple(numbers), tuple(odd), seen, cases, time.process_time() - start)


def _broken(result: ExerciseResult) -> str:
    return next((f"{law.number} {law.message}" for law in result.laws if law.outcome.failed), "")


@contextmanager
def in_this_process() -> Iterator[None]:
    """No process for a part, and the first story that breaks a law is the one that is told."""
    with (
        mock.patch("graders.checking.workers.Worker", LocalWorker),
        mock.patch("graders.checking.random_cases._shorten", lambda *_: None),
        mock.patch("graders.checking.random_cases._is_short", lambda _: True),
        mock.patch("graders.checking.random_cases.shorten", lambda broken, **_: broken),
    ):
        yield


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("laws", nargs="*")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--only", default="", help="parts whose name contains this")
    parser.add_argument("--right", action="store_true", help="the right parts instead")
    chosen = parser.parse_args()
    seeds, surprises = range(chosen.first, chosen.first + chosen.seeds), 0
    for exercise in (entry.number for entry in exercises()):
        laws = [law for law in catalogue(exercise).laws if _asked_for(law, exercise, chosen.laws)]
        if laws:
            judged = []
            for each in (right if chosen.right else wrong)(exercise, laws, seeds, chosen.only):
                judged.append(each)
                if each.seeds:
                    print(each, flush=True)
            surprises += sum(bool(each.seeds) for each in judged)
            print(_table(judged, laws, len(seeds)), flush=True)
    return 1 if surprises else 0


def _asked_for(law: Law, exercise: int, named: list[str]) -> bool:
    if law.number in named:
        return True
    return (not named or str(exercise) in named) and law.kind == "unit" and law.name not in COSTS


def _table(judged: list[Judged], laws: list[Law], seeds: int) -> str:
    """For each law its parts, how many died or lived as they should at all seeds, the last cases
    that any died by."""
    lines = []
    for law in laws:
        of_it = [each for each in judged if law.number in each.laws]
        fine = sum(not each.seeds for each in of_it)
        last = sorted((each for each in of_it if each.cases), key=lambda each: -each.cases)[:LATEST]
        spent = sum(each.seconds / len(each.laws) for each in of_it)
        line = f"{law.number:<5}{law.name:<26}{len(of_it):>4} parts, {fine:>4} as due at {seeds} of {seeds} seeds"
        told = (
            "; last deaths: " + ", ".join(f"case {each.cases} ({each.name})" for each in last)
            if last
            else ""
        )
        lines.append(f"{line}, {spent:.1f} s{told}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
