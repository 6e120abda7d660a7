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
    """A part kept as test data.

    laws: names of the laws of which one should kill it, as the line "Law: a|b." of its docstring says; empty for any.
    says: what the message or the story should contain, a regular expression, from its line "Says: …".
    """

    path: Path
    wrong: bool
    laws: tuple[str, ...]
    says: str


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
    screen.print(f"\nparts: {len(parts)}, surprises: {surprises}")
    return ExitCode.FAIL if surprises else ExitCode.PASS


def _parts(exercise: Exercise) -> list[Mutant]:
    folder = installed_root() / "tests" / "parts"
    found = []
    for kind in ("wrong", "right"):
        for path in sorted((folder / kind / f"ex{exercise.number}").glob("*.py")):
            text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
            laws = re.search(r"^Law: (.+?)\.?$", text, re.MULTILINE)
            says = re.search(r"^Says: *(.*)$", text, re.MULTILINE)
            names = tuple(laws.group(1).split("|")) if laws else ()
            found.append(Mutant(path, kind == "wrong", names, says.group(1) if says else ""))
    return found


def _judge(exercise: Exercise, part: Mutant, seed: int) -> ExerciseResult:
    from graders import grade

    return grade(exercise.number, part.path, seed=seed, laws_only=True)


def _as_expected(part: Mutant, broken: list[LawResult], passed: bool) -> bool:
    if not part.wrong:
        return passed
    if not broken or (part.laws and broken[0].name not in part.laws):
        return False
    return re.search(part.says, _words(broken[0])) is not None


def _words(law: LawResult) -> str:
    """Everything that the learner reads of why the law broke."""
    story = law.story
    return "\n".join([law.message, *([*story.steps, story.got, story.expected] if story else [])])


def _line(part: Mutant, broken: list[LawResult], result: ExerciseResult, fine: bool) -> Text:
    line = Text.assemble("  ", ("✓", "green") if fine else ("✗", "bold red"), f" {clean(part.path.stem):<30} ")
    if broken:
        line.append(f"{broken[0].number:<5}{clean(broken[0].name):<26}")
        line.append(", ".join(law.number for law in broken[1:]), style="dim")
    else:
        line.append("lives" if result.passed else clean(result.problem) or "undecided", style="" if fine else "red")
    if not fine and part.wrong:
        wanted = " or ".join(part.laws) or "any law"
        line.append(f"   expected: {wanted}{f', saying {part.says}' if part.says else ''}", style="yellow")
    return line
