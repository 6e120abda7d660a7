"""Who wrote alike: the parts of a class beside each other and beside the course's own. It decides
nothing.

Parts are compared by winnowed fingerprints (Schleimer, Wilkerson and Aiken, 2003) of their tokens:
names, numbers, texts, comments and the order of functions do not count. What the stub holds,
everybody has.
"""

from __future__ import annotations

import ast
import csv
import io
import keyword
import tokenize
import warnings
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from graders.registry.parts import Number, place
from graders.reports.plain import cell, person

GRAM = 14  # tokens that a fingerprint stands for
WINDOW = 6  # of so many fingerprints in a row one is kept at least
FEWEST = 12  # fingerprints below which nothing is said
# the share of the shorter part's fingerprints from which a pair is listed, and is flagged
SHOWN, FLAGGED = 0.4, 0.7
COLUMNS = ("exercise", "student", "alike with", "share", "look at it")


@dataclass(frozen=True, slots=True)
class Written:
    """One part. who: the student, or how the course's own is called. ours: it is the course's."""

    who: str
    exercise: Number
    text: str
    ours: bool = False


@dataclass(frozen=True, slots=True)
class Alike:
    """Two parts for one exercise, and the share of the shorter one's fingerprints that the other
    has too."""

    exercise: Number
    one: str
    other: str
    share: float

    @property
    def flagged(self) -> bool:
        return self.share >= FLAGGED


def alike(parts: Sequence[Written], stubs: dict[Number, str]) -> list[Alike]:
    """The pairs worth showing, most alike first; two of the course's own are no pair. stubs: by
    exercise."""
    found = []
    for exercise in sorted({part.exercise for part in parts}, key=place):
        common = fingerprints(stubs.get(exercise, ""))
        prints = {
            part: fingerprints(part.text) - common for part in parts if part.exercise == exercise
        }
        found += list(
            _pairs({part: marks for part, marks in prints.items() if len(marks) >= FEWEST})
        )
    return sorted(found, key=lambda pair: (-pair.share, place(pair.exercise), pair.one, pair.other))


def _pairs(prints: dict[Written, frozenset[int]]) -> Iterator[Alike]:
    """Found through who has each fingerprint, so that a class costs what it shares and not its
    square."""
    owners: dict[int, list[Written]] = defaultdict(list)
    shared: Counter[tuple[Written, Written]] = Counter()
    for part, marks in prints.items():
        for mark in marks:
            shared.update((other, part) for other in owners[mark] if not (other.ours and part.ours))
            owners[mark].append(part)
    for (one, other), count in shared.items():
        share = count / min(len(prints[one]), len(prints[other]))
        if share >= SHOWN:
            first, second = (other, one) if one.ours else (one, other)
            yield Alike(one.exercise, first.who, second.who, share)


def render(pairs: Iterable[Alike]) -> str:
    """A table for spreadsheets."""
    out = io.StringIO()
    table = csv.writer(out, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    table.writerow(COLUMNS)
    for pair in pairs:
        said = (str(pair.exercise), person(pair.one), person(pair.other), f"{pair.share:.0%}")
        table.writerow([*map(cell, said), "yes" if pair.flagged else ""])
    return out.getvalue()


# ---------------------------------------------------------------- fingerprints


def fingerprints(text: str) -> frozenset[int]:
    """Of a part's code; none of what is no Python."""
    marks: set[int] = set()
    for piece in _pieces(text):
        tokens = list(_tokens(piece))
        grams = [
            zlib.crc32(" ".join(tokens[at : at + GRAM]).encode())
            for at in range(len(tokens) - GRAM + 1)
        ]
        windows = range(max(1, len(grams) - WINDOW + 1))
        marks.update(min(grams[at : at + WINDOW]) for at in windows if grams)
    return frozenset(marks)


def _pieces(text: str) -> Iterator[str]:
    """Its functions, one by one, without what says nothing of how they work."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield "\n".join(ast.unparse(each) for each in node.body if not _is_said(each))


def _is_said(statement: ast.stmt) -> bool:
    """A docstring, or another constant by itself."""
    return isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)


def _tokens(code: str) -> Iterator[str]:
    for token in tokenize.generate_tokens(io.StringIO(code).readline):
        if token.type == tokenize.NAME:
            yield token.string if keyword.iskeyword(token.string) else "n"
        elif token.type in (tokenize.NUMBER, tokenize.STRING):
            yield "1" if token.type == tokenize.NUMBER else "s"
        elif token.type == tokenize.OP:
            yield token.string
