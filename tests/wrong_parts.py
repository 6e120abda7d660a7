"""The wrong parts of an exercise as test data: each says in its docstring what is wrong, by which law it dies, and how.

    Wrong: a free block is handed out twice.

    Law: giving back.
    Says: handed out .* twice

"Law" may name several, divided by |, where chance decides which is first; "Says" is searched for in the message.
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from pathlib import Path

from graders import grade
from graders.catalogue import catalogue
from graders.result import LawResult

PARTS = Path(__file__).parent / "parts"


@dataclass(frozen=True, slots=True)
class WrongPart:
    """One file, and what its docstring says."""

    path: Path
    exercise: int
    laws: tuple[str, ...]
    says: str

    def __str__(self) -> str:
        return self.path.stem

    def numbers(self) -> list[str]:
        """The laws it names."""
        numbers = {law.name: law.number for law in catalogue(self.exercise).laws}
        return [numbers[name] for name in self.laws]


def wrong_parts(exercise: int) -> list[WrongPart]:
    return [_read(path, exercise) for path in sorted((PARTS / "wrong" / f"ex{exercise}").glob("*.py"))]


def right_parts(exercise: int) -> list[Path]:
    return sorted((PARTS / "right" / f"ex{exercise}").glob("*.py"))


def first_broken(path: Path, exercise: int, *, only: list[str] | None = None, seed: int = 1) -> LawResult | None:
    """The first law that the part breaks, in order; None when it keeps them all."""

    class Enough(Exception):
        pass

    broken: list[LawResult] = []

    def on_law(result: LawResult) -> None:
        if result.outcome.failed:
            broken.append(result)
            raise Enough

    try:
        grade(exercise, path, seed=seed, only=only, on_law=on_law)
    except Enough:
        return broken[0]
    return None


def _read(path: Path, exercise: int) -> WrongPart:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    law, says = re.search(r"^Law: (.+?)\.?$", text, re.MULTILINE), re.search(r"^Says: ?(.*)$", text, re.MULTILINE)
    assert text.startswith("Wrong: ") and law and says, path
    return WrongPart(path, exercise, tuple(law.group(1).split("|")), says.group(1))
