"""The line of a part that nothing could be made of, as an editor would show it."""

from __future__ import annotations

import ast
import warnings
from dataclasses import dataclass

WIDEST = 160  # characters of a line that are shown


@dataclass(frozen=True, slots=True)
class Offence:
    """line: its number. text: the line, tabs made visible. column: how many characters stand before
    the fault."""

    line: int
    text: str
    column: int

    @property
    def shown(self) -> str:
        """Two lines: the offending one, a caret below."""
        margin = f"  {self.line} | "
        caret = f"\n{' ' * (len(margin) + self.column)}^" if self.column < WIDEST else ""
        return f"{margin}{self.text[:WIDEST]}{caret}"


def offence(source: str, number: int) -> Offence | None:
    """That line of a part's text, from 1; None if there is no such line."""
    if number < 1:
        return None
    lines = source.replace("\f", " ").splitlines()
    if number > len(lines):
        return None
    text, column = lines[number - 1], _column(source, number)
    blank = len(text) - len(text.lstrip())
    before = _visible(text[: max(blank, column)])
    return Offence(number, _visible(text.rstrip()), len(before))


def _column(source: str, number: int) -> int:
    """Where the parser stumbled in that line, from 0; 0 if it did not, or only over how the line is
    indented."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(source)
    except IndentationError:
        return 0
    except SyntaxError as wrong:
        return max(0, (wrong.offset or 1) - 1) if wrong.lineno == number else 0
    except (ValueError, RecursionError, MemoryError):
        return 0
    return 0


def _visible(text: str) -> str:
    return text.replace("\t", "→   ")
