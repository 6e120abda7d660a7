"""`course mutants N`: every wrong part of the test data and the law that kills it. For developers, in a clone."""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

import click
from rich.text import Text

from course.problem import ExitCode, Problem
from course.screen import clean, console, shorten
from course.targets import target
from course.workspace import installed_root
from graders.catalogue import Exercise
from graders.result import ExerciseResult, LawResult


@dataclass(frozen=True, slots=True)
class Mutant:
    """A part kept as test data. `law`: the name of the law that should kill it, as its docstring says; "" for none."""

    path: Path
    wrong: bool
    law: str


@click.command("mutants")
@click.argument("exercise")
@click.option("--seed", type=click.IntRange(0, 2**63 - 1), default=0, show_default=True, help="For every check.")
@click.option("-v", "--verbose", is_flag=True, help="Show what the learner would read, too.")
@click.option("--only", metavar="NAME", default="", help="Only parts whose name contains this.")
def command(exercise: str, seed: int, verbose: bool, only: str) -> ExitCode:
    """Show which law kills which wrong part of EXERCISE, and that the right parts live.

    Exits 1 when a wrong part survives or dies by a law other than the one it names, or when a right part dies.
    """
    chosen = target(exercise).exercise
    parts = [part for part in _parts(chosen) if only in part.path.stem]
    if not parts:
        raise Problem(f"no such part of exercise {chosen.number} is under tests/parts (clones alone have them).")
    screen = console()
    surprises = 0
    for part in parts:
        result = _judge(chosen, part, seed)
        broken = [law for law in result.laws if law.outcome.failed]
        fine = _as_expected(part, broken, result.passed)
        surprises += not fine
        screen.print(_line(part, broken, result, fine), soft_wrap=True)
        if verbose and broken:
            screen.print(f"      {shorten(clean(broken[0].message), 400)}", style="dim", soft_wrap=True)
    screen.print(f"\n{len(parts)} parts, {surprises} surprises.")
    return ExitCode.FAIL if surprises else ExitCode.PASS


def _parts(exercise: Exercise) -> list[Mutant]:
    folder = installed_root() / "tests" / "parts"
    found = []
    for kind in ("wrong", "right"):
        for path in sorted((folder / kind / f"ex{exercise.number}").glob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            law = re.search(r"^Law: (.+?)\.?$", text, re.MULTILINE)
            found.append(Mutant(path, kind == "wrong", law.group(1) if law else ""))
    return found


def _judge(exercise: Exercise, part: Mutant, seed: int) -> ExerciseResult:
    from graders import grade

    return grade(exercise.number, part.path, seed=seed, laws_only=True)


def _as_expected(part: Mutant, broken: list[LawResult], passed: bool) -> bool:
    if not part.wrong:
        return passed
    return bool(broken) and part.law in ("", broken[0].name)


def _line(part: Mutant, broken: list[LawResult], result: ExerciseResult, fine: bool) -> Text:
    line = Text.assemble("  ", ("✓", "green") if fine else ("✗", "bold red"), f" {clean(part.path.stem):<30} ")
    if broken:
        line.append(f"{broken[0].number:<5}{clean(broken[0].name):<26}")
        line.append(", ".join(law.number for law in broken[1:]), style="dim")
    else:
        line.append("lives" if result.passed else clean(result.problem) or "undecided", style="" if fine else "red")
    if not fine and part.wrong:
        line.append(f"   expected: {part.law or 'any law'}", style="yellow")
    return line
