r"""Mutants: right parts with one fault each, kept as edits. `course mutants` and the project's own
tests read them.

A file tests/mutants/exN/LAW.mutants holds those that one law kills:

    law: copy-on-write

    ## copies_backwards (from stack)
    wrong: Copy has its ends exchanged.
    says: backwards|src
    after: vllm-project/vllm#417
    <<<<
                copies.append(Copy(old, new[0]))
    ====
                copies.append(Copy(new[0], old))
    >>>>

The base in parentheses is a file of tests/bases/exN, or the `solution`; its module docstring does
not count. A base `slow/name` is right but for what it costs; a mutant without edits is such a base
as it stands. Edits are whole lines, in any order: what is between <<<< and ==== occurs once in the
base, as it stands before any edit, and what is between ==== and >>>> comes in its place. `says`,
which may be missing, is a regular expression that is searched for in what the learner reads;
`after`, missing as a rule, names the public report of an engine's bug that it is made after. A
mutant with a `law` of its own may be killed by others than its file's, "a|b" by either.

Whatever does not fit is a `Problem` that names file and line: a search text that is not in the
base, or not once; an unknown base or law; a name given twice; a mutant that is its base unchanged.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from course.errors import Problem
from graders.registry.catalogue import Exercise
from graders.registry.parts import Number

FOLDER = Path("tests", "mutants")
BASES = Path("tests", "bases")
SLOW = "slow/"  # how the names of bases begin that are right but for what they cost
SOLUTION = "solution"  # the name of the base that is in no folder of bases

_HEADING = re.compile(r"## (?P<name>[a-z]\w*) \(from (?P<base>(slow/)?\w+)\)")
_FIELD = re.compile(r"(?P<key>[a-z]+): (?P<value>.*\S)")


@dataclass(frozen=True, slots=True)
class Mutant:
    """A wrong part.

    laws: names of the laws of which one kills it. says: "" for any message. after: "" or
    owner/repository#number. code: the module but for its docstring. where: the file and line that
    it is from, for messages.
    """

    name: str
    exercise: Number
    wrong: str
    laws: tuple[str, ...]
    says: str
    code: str
    where: str
    after: str = ""

    def __str__(self) -> str:
        return self.name

    @property
    def text(self) -> str:
        """The module, with a docstring that says what is wrong, by which law it dies, and how."""
        told = f"Wrong: {self.wrong}\n\nLaw: {'|'.join(self.laws)}.\n" + (
            f"Says: {self.says}\n" if self.says else ""
        )
        told += f"After: {self.after}\n" if self.after else ""
        return f'{"r" if chr(92) in told else ""}"""{told}"""\n{self.code}'

    def write(self, folder: Path) -> Path:
        """Write the module into `folder`, under its name; returns its path."""
        path = folder / f"{self.name}.py"
        path.write_text(self.text, encoding="utf-8")
        return path


def mutants(exercise: Exercise, clone: Path) -> list[Mutant]:
    """Every mutant of an exercise by name; none where `clone` has none. `Problem` for a file that
    does not fit."""
    bases = _Bases(exercise, clone)
    found: dict[str, Mutant] = {}
    for path in sorted((clone / FOLDER / exercise.short).glob("*.mutants")):
        file = _File(path, path.relative_to(clone).as_posix())
        for entry in _entries(file):
            if entry.name in found:
                raise file.fault(
                    entry.line, f"the name {entry.name} is taken by {found[entry.name].where}"
                )
            found[entry.name] = _mutant(entry, exercise, bases, file)
    return [found[name] for name in sorted(found)]


def base_files(exercise: Exercise, clone: Path) -> list[Path]:
    """The right parts beside the solution, by name."""
    return sorted((clone / BASES / exercise.short).glob("*.py"))


def slow_files(exercise: Exercise, clone: Path) -> list[Path]:
    """Bases that are right but for what they cost, by name: a mutant may be one of them as it
    stands."""
    return sorted((clone / BASES / exercise.short / SLOW).glob("*.py"))


def code_of(text: str) -> str:
    """A module without its docstring: what mutants are edits of."""
    module = ast.parse(text)
    if ast.get_docstring(module, clean=False) is not None:
        return "\n".join(text.split("\n")[module.body[0].end_lineno :])
    return text


@dataclass(frozen=True, slots=True)
class _Edit:
    """search, replacement: whole lines, each with its end. line: where the edit begins, from 1."""

    search: str
    replacement: str
    line: int


@dataclass(frozen=True, slots=True)
class _Entry:
    """A mutant as it is written."""

    name: str
    base: str
    fields: dict[str, str]
    edits: list[_Edit]
    line: int


class _File:
    """The lines of a file, taken one after the other. line: the number of the one that comes next,
    from 1."""

    def __init__(self, path: Path, shown: str) -> None:
        self._lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        self._shown = shown
        self.line = 1

    @property
    def next(self) -> str | None:
        """The line that comes next; None at the end."""
        return self._lines[self.line - 1] if self.line <= len(self._lines) else None

    def take(self) -> str | None:
        taken = self.next
        self.line += 1
        return taken

    def skip_empty(self) -> None:
        while self.next == "":
            self.line += 1

    def where(self, line: int) -> str:
        return f"{self._shown}:{line}"

    def fault(self, line: int, sentence: str) -> Problem:
        return Problem(f"{self.where(line)}: {sentence}.")


class _Bases:
    """The code of right parts by name, each read once."""

    def __init__(self, exercise: Exercise, clone: Path) -> None:
        self._paths = {path.stem: path for path in base_files(exercise, clone)}
        self._paths |= {SLOW + path.stem: path for path in slow_files(exercise, clone)}
        self._paths[SOLUTION] = clone / "solutions" / exercise.slug / exercise.file_name
        self._codes: dict[str, str] = {}

    def code(self, name: str) -> str | None:
        """None for a name that no base has."""
        path = self._paths.get(name)
        if path is not None and name not in self._codes:
            try:
                self._codes[name] = code_of(path.read_text(encoding="utf-8"))
            except (OSError, SyntaxError) as error:
                raise Problem(f"the base {name} cannot be read: {error}.") from error
        return self._codes.get(name)


def _entries(file: _File) -> Iterator[_Entry]:
    """What a file holds, each with the fields of the file's head where it has none of its own."""
    head = _fields(file, "law")
    while file.next is not None:
        line = file.line
        heading = _HEADING.fullmatch(file.take() or "")
        if not heading:
            raise file.fault(line, "`## name (from base)` is due here, or <<<<")
        fields = head | _fields(file, "law", "wrong", "says", "after")
        edits = []
        while file.next == "<<<<":
            edits.append(_edit(file))
            file.skip_empty()
        yield _Entry(heading["name"], heading["base"], fields, edits, line)


def _fields(file: _File, *allowed: str) -> dict[str, str]:
    """The lines "key: value" that come next."""
    found: dict[str, str] = {}
    file.skip_empty()
    while match := _FIELD.fullmatch(file.next or ""):
        if match["key"] in found or match["key"] not in allowed:
            raise file.fault(file.line, f"there is no place for this `{match['key']}`")
        found[match["key"]] = match["value"]
        file.take()
        file.skip_empty()
    return found


def _edit(file: _File) -> _Edit:
    line = file.line
    file.take()
    return _Edit(_block(file, line, "===="), _block(file, line, ">>>>"), line)


def _block(file: _File, begin: int, end: str) -> str:
    """The lines up to the marker `end`."""
    lines = []
    while (line := file.take()) != end:
        if line in (None, "<<<<", "====", ">>>>"):
            raise file.fault(begin, f"this edit has no {end} where it should")
        lines.append(f"{line}\n")
    return "".join(lines)


def _mutant(entry: _Entry, exercise: Exercise, bases: _Bases, file: _File) -> Mutant:
    wrong, says = entry.fields.get("wrong", ""), entry.fields.get("says", "")
    laws = tuple(entry.fields.get("law", "").split("|"))
    base = bases.code(entry.base)
    if not wrong:
        raise file.fault(entry.line, f"{entry.name} lacks the sentence `wrong: …`")
    if base is None:
        raise file.fault(entry.line, f"there is no base {entry.base} of {exercise.title}")
    for law in set(laws) - {law.name for law in exercise.laws}:
        raise file.fault(entry.line, f"{exercise.title} has no law {law!r}")
    try:
        re.compile(says)
    except re.error as error:
        raise file.fault(
            entry.line, f"what {entry.name} `says` is no regular expression: {error}"
        ) from None
    code = _edited(base, entry, file)
    if code == base and not entry.base.startswith(SLOW):
        raise file.fault(entry.line, f"{entry.name} is {entry.base} unchanged")
    after = entry.fields.get("after", "")
    return Mutant(
        entry.name, exercise.number, wrong, laws, says, code, file.where(entry.line), after
    )


def _edited(base: str, entry: _Entry, file: _File) -> str:
    places = sorted((_place(base, edit, entry.base, file), edit.line, edit) for edit in entry.edits)
    for (start, _, edit), (following, line, _) in pairwise(places):
        if following < start + len(edit.search):
            raise file.fault(
                line,
                f"this edit and that of line {edit.line} change the same lines of {entry.base}",
            )
    pieces, done = [], 0
    for start, _, edit in places:
        pieces += [base[done:start], edit.replacement]
        done = start + len(edit.search)
    return "".join(pieces) + base[done:]


def _place(base: str, edit: _Edit, name: str, file: _File) -> int:
    """Where in the base the search text begins: at the beginning of a line, and nowhere else."""
    lines, search = f"\n{base}", f"\n{edit.search}"
    place = lines.find(search)
    if not edit.search or place < 0:
        raise file.fault(edit.line, f"this search text is not in {name}")
    if lines.find(search, place + 1) >= 0:
        raise file.fault(edit.line, f"this search text is more than once in {name}")
    return place
