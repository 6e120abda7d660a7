"""`course mutants N`: every wrong part of the test data and the law that kills it. For developers,
in a clone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Literal, cast

import click
from rich.table import Table
from rich.text import Text

from course.authoring.mutant_files import BASES, FOLDER, Mutant, base_files, mutants
from course.errors import ExitCode, Problem
from course.targets import target
from course.terminal import clean, console, shorten
from course.workspace import installed_root
from graders.registry.catalogue import Exercise
from graders.result import ExerciseResult, LawResult


@dataclass(frozen=True, slots=True)
class Part:
    """A part as a file. mutant: what is wrong with it; None for a right one."""

    path: Path
    mutant: Mutant | None


@click.command("mutants")
@click.argument("exercise")
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    default=0,
    show_default=True,
    help="Of the first check.",
)
@click.option(
    "--seeds",
    type=click.IntRange(1, 1000),
    default=1,
    show_default=True,
    help="So many, one after another.",
)
@click.option("-v", "--verbose", is_flag=True, help="Show what the learner would read, too.")
@click.option("--only", metavar="NAME", default="", help="Only parts whose name contains this.")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the wrong parts as whole files into this folder; judge nothing.",
)
def command(
    exercise: str, seed: int, seeds: int, verbose: bool, only: str, folder: Path | None
) -> ExitCode:
    """Show which law kills which wrong part of EXERCISE, that the right parts live, and a table of
    the laws.

    The wrong parts are edits of right ones, in tests/mutants. The table has, for each law, the
    wrong parts that name it, those that no other law kills, and at how many seeds each of them died
    by it at least. Exits 1 when one survives or dies by a law other than the one it names, or when
    a right part dies, at any seed.
    """
    chosen = target(exercise).exercise
    wrong = [mutant for mutant in mutants(chosen, installed_root()) if only in mutant.name]
    right = [path for path in base_files(chosen, installed_root()) if only in path.stem]
    if not wrong and not right:
        where = f"{FOLDER.as_posix()} or {BASES.as_posix()}"
        raise Problem(f"no such part of {chosen.title} is under {where} (clones alone have them).")
    if folder is not None:
        return _write(wrong, folder)
    with _files(wrong, right) as parts:
        return _judge_all(parts, chosen, range(seed, seed + seeds), verbose)


def _write(wrong: list[Mutant], folder: Path) -> ExitCode:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for mutant in wrong:
            mutant.write(folder)
    except OSError as error:
        raise Problem(f"{folder} cannot be written: {error.strerror}.") from error
    console().print(f"parts written: {len(wrong)}")
    return ExitCode.PASS


@contextmanager
def _files(wrong: list[Mutant], right: list[Path]) -> Iterator[list[Part]]:
    """All parts as files, the wrong ones in a folder that is gone afterwards."""
    with TemporaryDirectory(prefix="mutants-") as folder:
        yield [Part(mutant.write(Path(folder)), mutant) for mutant in wrong] + [
            Part(path, None) for path in right
        ]


def _judge_all(parts: list[Part], exercise: Exercise, seeds: range, verbose: bool) -> ExitCode:
    from graders import grade

    def result(path: Path, seed: int) -> ExerciseResult:
        found = grade(exercise.number, path, seed=seed, laws_only=True)
        return (
            grade(exercise.number, path, seed=seed, only=timed) if found.passed and timed else found
        )

    screen = console()
    judged = []
    timed = _timed_laws(exercise)
    for part in parts:
        judged.append(Judged(part, tuple(result(part.path, seed) for seed in seeds)))
        screen.print(_line(judged[-1]), soft_wrap=True)
        if verbose and _broken(judged[-1].worst):
            message = _broken(judged[-1].worst)[0].message
            screen.print(f"      {shorten(clean(message), 400)}", style="dim", soft_wrap=True)
    surprises = sum(not each.fine for each in judged)
    screen.print(_table(judged, exercise, len(seeds)))
    screen.print(f"\nparts: {len(parts)}, surprises: {surprises}")
    return ExitCode.FAIL if surprises else ExitCode.PASS


def _timed_laws(exercise: Exercise) -> list[str]:
    """Numbers of those that some wrong part names: whoever passes all others is held to them too."""
    named = {name for mutant in mutants(exercise, installed_root()) for name in mutant.laws}
    return [law.number for law in exercise.laws if law.kind == "throughput" and law.name in named]


@dataclass(frozen=True, slots=True)
class Judged:
    """A part and what became of it, seed by seed."""

    part: Part
    results: tuple[ExerciseResult, ...]

    @property
    def fine(self) -> bool:
        return as_expected(self.part.mutant, self.worst)

    @property
    def worst(self) -> ExerciseResult:
        """The first that is a surprise; the first of all where none is."""
        wrong = (result for result in self.results if not as_expected(self.part.mutant, result))
        return next(wrong, self.results[0])

    def deaths(self, law: str) -> int:
        """At how many seeds it died by this law first."""
        firsts = [_broken(result)[:1] for result in self.results]
        return sum([each.name for each in first] == [law] for first in firsts)

    @property
    def alone(self) -> bool:
        """Whether one law kills it, and no other, at every seed."""
        return all(len(_broken(result)) == 1 for result in self.results)


def _broken(result: ExerciseResult) -> list[LawResult]:
    return [law for law in result.laws if law.outcome.failed]


def _table(judged: list[Judged], exercise: Exercise, seeds: int) -> Table:
    """Law by law: parts that name it, those that it alone kills, the fewest seeds at which one of
    them died by it."""
    table = Table(box=None, pad_edge=True)
    for title, side in (
        ("law", "left"),
        ("", "left"),
        ("parts", "right"),
        ("alone", "right"),
        ("seeds", "right"),
    ):
        table.add_column(title, justify=cast(Literal["left", "right"], side))
    for law in exercise.laws:
        named = [each for each in judged if each.part.mutant and law.name in each.part.mutant.laws]
        alone = sum(each.alone for each in named)
        least = f"{min(each.deaths(law.name) for each in named)} of {seeds}" if named else ""
        if law.kind != "throughput" or named:
            table.add_row(law.number, law.name, str(len(named)), str(alone), least)
    return table


def as_expected(mutant: Mutant | None, result: ExerciseResult) -> bool:
    """Whether it died by a law that it names, in those words; of a right part whether it lives."""
    broken = _broken(result)
    if mutant is None:
        return result.passed
    if not broken or broken[0].name not in mutant.laws:
        return False
    return re.search(mutant.says, _words(broken[0])) is not None


def _words(law: LawResult) -> str:
    """Everything that the learner reads of why the law broke."""
    story = law.story
    return "\n".join([law.message, *([*story.steps, story.got, story.expected] if story else [])])


def _line(judged: Judged) -> Text:
    part, result, fine = judged.part, judged.worst, judged.fine
    broken = _broken(result)
    line = Text.assemble(
        "  ", ("✓", "green") if fine else ("✗", "bold red"), f" {clean(part.path.stem):<30} "
    )
    if broken:
        line.append(f"{broken[0].number:<5}{clean(broken[0].name):<26}")
        line.append(", ".join(law.number for law in broken[1:]), style="dim")
    else:
        line.append(
            "lives" if result.passed else clean(result.problem) or "undecided",
            style="" if fine else "red",
        )
    if not fine:
        line.append(f"   at seed {result.seed}", style="dim")
    if not fine and part.mutant is not None:
        line.append(f"   expected: {_expected(part.mutant)}", style="yellow")
    return line


def _expected(mutant: Mutant) -> str:
    """By which law it should have died, how, and where that is written."""
    says = f", saying {mutant.says}" if mutant.says else ""
    return f"{' or '.join(mutant.laws)}{says} ({mutant.where})"
