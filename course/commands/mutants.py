"""`course mutants N`: every wrong part of the test data and the law that kills it. For developers, in a clone."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import click
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
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For every check.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the learner would read, too.")
@click.option("--only", metavar="NAME", default="", help="Only parts whose name contains this.")
@click.option(
    "--write",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the wrong parts as whole files into this folder; judge nothing.",
)
def command(exercise: str, seed: int, verbose: bool, only: str, folder: Path | None) -> ExitCode:
    """Show which law kills which wrong part of EXERCISE, and that the right parts live.

    The wrong parts are edits of right ones, in tests/mutants. Exits 1 when one survives or dies by a law other than
    the one it names, or when a right part dies.
    """
    chosen = target(exercise).exercise
    wrong = [mutant for mutant in mutants(chosen, installed_root()) if only in mutant.name]
    right = [path for path in base_files(chosen, installed_root()) if only in path.stem]
    if not wrong and not right:
        where = f"{FOLDER.as_posix()} or {BASES.as_posix()}"
        raise Problem(f"no such part of exercise {chosen.number} is under {where} (clones alone have them).")
    if folder is not None:
        return _write(wrong, folder)
    with _files(wrong, right) as parts:
        return _judge_all(parts, chosen, seed, verbose)


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
        yield [Part(mutant.write(Path(folder)), mutant) for mutant in wrong] + [Part(path, None) for path in right]


def _judge_all(parts: list[Part], exercise: Exercise, seed: int, verbose: bool) -> ExitCode:
    from graders import grade

    screen = console()
    surprises = 0
    for part in parts:
        result = grade(exercise.number, part.path, seed=seed, laws_only=True)
        broken = [law for law in result.laws if law.outcome.failed]
        fine = _as_expected(part.mutant, broken, result.passed)
        surprises += not fine
        screen.print(_line(part, broken, result, fine), soft_wrap=True)
        if verbose and broken:
            screen.print(f"      {shorten(clean(broken[0].message), 400)}", style="dim", soft_wrap=True)
    screen.print(f"\nparts: {len(parts)}, surprises: {surprises}")
    return ExitCode.FAIL if surprises else ExitCode.PASS


def _as_expected(mutant: Mutant | None, broken: list[LawResult], passed: bool) -> bool:
    if mutant is None:
        return passed
    if not broken or broken[0].name not in mutant.laws:
        return False
    return re.search(mutant.says, _words(broken[0])) is not None


def _words(law: LawResult) -> str:
    """Everything that the learner reads of why the law broke."""
    story = law.story
    return "\n".join([law.message, *([*story.steps, story.got, story.expected] if story else [])])


def _line(part: Part, broken: list[LawResult], result: ExerciseResult, fine: bool) -> Text:
    line = Text.assemble("  ", ("✓", "green") if fine else ("✗", "bold red"), f" {clean(part.path.stem):<30} ")
    if broken:
        line.append(f"{broken[0].number:<5}{clean(broken[0].name):<26}")
        line.append(", ".join(law.number for law in broken[1:]), style="dim")
    else:
        line.append("lives" if result.passed else clean(result.problem) or "undecided", style="" if fine else "red")
    if not fine and part.mutant is not None:
        line.append(f"   expected: {_expected(part.mutant)}", style="yellow")
    return line


def _expected(mutant: Mutant) -> str:
    """By which law it should have died, how, and where that is written."""
    says = f", saying {mutant.says}" if mutant.says else ""
    return f"{' or '.join(mutant.laws)}{says} ({mutant.where})"
