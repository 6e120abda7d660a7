"""Which of the files of a hand-in is the part: the one answer that checks, batches, bundles and
nbgrader all use.

A notebook's cell counts if anything is written in it, else the file; a stub counts when there is
nothing else. A file is known by its name, whatever was added to that (`prefix_cache (1).py`), or by
what it defines. What was handed in and is not judged is named. Where two different parts have the
same claim, or something that nobody can place lies beside an untouched stub, a person has to
choose, and nobody gets a zero.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from graders.registry.parts import PARTS, Part
from graders.submissions.notebook import (
    LARGEST,
    Cell,
    cell_names,
    cells_of,
    has,
    imports,
    part_of,
    untouched,
)
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import (
    ARCHIVES,
    LARGEST_PARCEL,
    Item,
    doubtful,
    is_noise,
    items,
    lone,
)
from graders.submissions.plain_text import decode, instead
from reference_engine.parts import FUNCTION_NAMES

__all__ = [
    "LARGEST",
    "LARGEST_PARCEL",
    "Declared",
    "HandIn",
    "Papers",
    "UnusableSubmission",
    "choose",
    "explain",
    "handed_in",
    "papers",
    "take",
]

WRITTEN, PROBLEM, STUB = range(3)
EXACT, COPY, NAMED, DEFINES, MENTIONS, OTHER = range(6)  # how a file's name fits, the best first
COPIED = r"(?:[-_ .]*(?:\(\d+\)|v?\d+|copy|kopie|copie))*"  # what systems and people add to a name
PACKED = (".py", ".ipynb", *ARCHIVES)
# beside a part, and never one
SPARE = (".md", ".txt", ".csv", ".png", ".svg", ".log", ".toml", ".json")
EXPECTED = ("timestamp.txt", "submission_secret.txt")
COURSE = (
    "solutions",
    "tests",
    "course",
    "graders",
    "reference_engine",
    "docs",
    "LICENSE",
    "Makefile",
)  # in a clone
# in the metadata of a notebook that nobody handed in: nbgrader needs one
PLACED = b'"course_placed"'
CHECKING = "course.nbgrader_glue.student_api"  # what every law's cell imports
SHEET = "explain"  # the answers in plain words, a Markdown file
TITLE = re.compile(r"^# Explain it back: ((?:exercise|lab) \d+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Declared:
    """The file of an exercise: its name, the folder a workspace keeps it in, the notebook cell that
    holds it.

    defines: names of which a part defines at least one, by which a cell is known whose marks were
    lost. contracts_only: it may import nothing of the engine but the contracts: the engine counts
    what a lab asks for.
    """

    name: str
    folder: str = ""
    cell: str = ""
    defines: tuple[str, ...] = ()
    contracts_only: bool = False

    @classmethod
    def of(cls, part: Part) -> Declared:
        """What an exercise declares."""
        defines = (
            (part.class_name,)
            if part.class_name
            else part.functions or FUNCTION_NAMES.get(part.slot, ())
        )
        return cls(
            part.file_name,
            f"exercises/{part.slug}",
            part.slot,
            defines,
            isinstance(part.number, str),
        )

    @property
    def slug(self) -> str:
        """The folder of the exercise, which its notebook and its archive are called after."""
        return PurePosixPath(self.folder).name

    @property
    def words(self) -> tuple[str, ...]:
        """What a name holds that stands for the exercise, the longest first."""
        return tuple(word for word in (self.slug, self.cell, PurePosixPath(self.name).stem) if word)


@dataclass(frozen=True, slots=True)
class HandIn:
    """What of one hand-in is the part. name: for messages. data: the file, or the text of the cell,
    as handed in.

    item: where it was found. unused: a sentence about everything else that might have been meant.
    """

    name: str
    data: bytes
    item: Item
    unused: tuple[str, ...] = ()

    @property
    def where(self) -> str:
        """What is judged, in words."""
        return (
            f"the cell in {self.item.place}"
            if self.item.suffix == ".ipynb"
            else f"the file {self.item.place}"
        )


@dataclass(frozen=True, slots=True)
class Papers:
    """What a person reads of one hand-in, whatever became of the part: the notebook, and the sheet
    of answers."""

    notebook: Item | None = None
    answers: Item | None = None


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A file that may be the part, read. state: WRITTEN, PROBLEM or STUB. fit: how well its name
    fits."""

    item: Item
    fit: int
    state: int
    data: bytes = b""
    problem: UnusableSubmission | None = field(default=None, compare=False)
    notices: tuple[str, ...] = ()

    @property
    def claim(self) -> tuple[int, bool, int]:
        """The lowest counts."""
        return self.state, self.item.suffix != ".ipynb", EXACT if self.fit == COPY else self.fit


def take(path: Path, declared: Declared | None = None) -> HandIn:
    """The declared part in whatever lies at `path`; without a declaration, the file itself. Raises
    Unusable."""
    item = lone(path)
    if declared is None:
        return HandIn(path.name, _source(item), item)
    found = items(path)
    if (
        [each.source for each in found] == [path]
        and not found[0].inner
        and path.suffix.lower() != ".zip"
    ):
        if found[0].suffix != ".ipynb":
            return HandIn(path.name, _source(item, declared), item)
        text, notices = _cell(item, declared)
        return HandIn(f"the cell of {path.name}", text, item, notices)
    return choose(found, declared, f"{path}" if path.is_dir() else path.name)


def handed_in(
    found: Sequence[Item], exercise: Part, home: str, *, alone: bool = False
) -> HandIn | None:
    """The part for the exercise among the files of one student; None when there is no trace of one.
    Raises Unusable.

    alone: a lone Python file of any name is taken for it.
    """
    declared = Declared.of(exercise)
    others = [Declared.of(part) for part in PARTS if part.number != exercise.number]
    found = _theirs(found)
    if any(_fit(each, declared) is not None for each in found):
        return choose(found, declared, home)
    python = [each for each in found if each.suffix == ".py"]
    python = [each for each in python if all(_fit(each, other) is None for other in others)]
    if alone and len(python) == 1:
        return HandIn(declared.name, _source(python[0], declared), python[0])
    return None


def choose(found: Sequence[Item], declared: Declared, home: str) -> HandIn:
    """The one part among the files of one student. Raises Unusable; home: what these files are
    called in messages."""
    found = _theirs(found)
    candidates = sorted(_candidates(found, declared), key=lambda each: each.claim)
    if not candidates:
        raise _nothing(found, declared, home)
    best = candidates[0]
    if best.problem is not None:
        raise best.problem
    if any(each.state == STUB for each in candidates) and (strange := _strange(best, found)):
        raise doubtful(
            f"{declared.name} is the untouched stub, but {strange} was handed in too; a person has to look."
        )
    others = [each for each in candidates[1:] if not _same(each.data, best.data)]
    rivals = [each for each in others if each.claim == best.claim]
    if rivals and best.state == WRITTEN:
        places = " and ".join(each.item.place for each in [best, *rivals])
        raise doubtful(f"{places} are different parts and nothing says which one counts; keep one.")
    spare = [each for each in others if each.state != STUB]
    unused = (
        tuple(f"{each.item.place} was not judged; {best.item.place} was." for each in spare)
        + best.notices
    )
    cell = best.item.suffix == ".ipynb"  # whose lines are counted
    name = f"the cell of {best.item.name}" if cell else declared.name
    return HandIn(name, best.data, best.item, unused)


def papers(found: Sequence[Item], exercise: Part) -> Papers:
    """What is to be read for the exercise among the files of one student, whether there is a part
    or not."""
    declared = Declared.of(exercise)
    found = _theirs(found)
    fits = [(item, _fit(item, declared)) for item in found if item.suffix == ".ipynb"]
    sheets = [
        _read(item, fit, declared)
        for item, fit in fits
        if fit is not None and _cells(item) is not None
    ]
    sheets.sort(key=lambda each: each.claim)
    answers = [item for item in found if _is_sheet(item, exercise.title)]
    answers.sort(key=lambda item: item.path.parent.name != exercise.slug)
    return Papers(sheets[0].item if sheets else None, answers[0] if answers else None)


def canonical(data: bytes) -> bytes:
    """The file without what no judge looks at: a byte order mark and the kind of newlines."""
    return data.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")


# ---------------------------------------------------------------- what was handed in and is
# nobody's


def _theirs(found: Sequence[Item]) -> list[Item]:
    """The student's own files: not the course's, of a clone or a kit that was handed in whole, and
    none of ours."""
    parts = [item.path.parts for item in found]
    homes = {each[: each.index("exercises")] for each in parts if "exercises" in each[:-1]}
    homes &= {each[: each.index("graders")] for each in parts if "graders" in each[:-1]}
    ours = {(*home, name) for home in homes for name in COURSE}
    kept = [
        item for item in found if not any(item.path.parts[: len(each)] == each for each in ours)
    ]
    kept = [item for item in kept if not _is_placed_by_us(item)]
    seen = [item for item in kept if not is_noise(item.name)]
    # what is unseen counts if there is no other
    return kept if all(item.name in EXPECTED for item in seen) else seen


def _is_placed_by_us(item: Item) -> bool:
    if item.suffix != ".ipynb" or item.stem not in {part.slug for part in PARTS}:
        return False
    try:
        return PLACED in item.open(LARGEST_PARCEL)
    except UnusableSubmission:
        return False


def _strange(best: _Candidate, found: Sequence[Item]) -> str:
    """Of a hand-in with an untouched stub: what may have been meant in its place; empty for
    nothing."""
    if best.state == WRITTEN and best.fit == MENTIONS and best.item.suffix == ".py":
        return best.item.place
    others = [item.place for item in found if not _is_placed(item)] if best.state == STUB else []
    return ", ".join(others[:5])


def _is_sheet(item: Item, title_of: str) -> bool:
    """Whether a file holds the answers for an exercise: by its name, unless its title says that it
    is another's."""
    if item.suffix not in (".md", ".txt") or not re.fullmatch(
        rf"{SHEET}{COPIED}(?:\.md)?", item.stem
    ):
        return False
    try:
        title = TITLE.search(item.open(LARGEST).decode("utf-8-sig", "replace"))
    except UnusableSubmission:
        return False
    return title is None or title[1] == title_of


# ---------------------------------------------------------------- what may be a part


def _candidates(found: Sequence[Item], declared: Declared) -> list[_Candidate]:
    """Beside what fits, an archive that cannot be read may hold the part, unless nothing else says
    so."""
    fits = [(item, _fit(item, declared)) for item in found]
    if all(fit is None for _, fit in fits):
        return []
    fits = [(item, OTHER if fit is None and item.suffix in ARCHIVES else fit) for item, fit in fits]
    return [_read(item, fit, declared) for item, fit in fits if fit is not None]


def _fit(item: Item, declared: Declared) -> int | None:
    """How well a file fits an exercise; None when it is for another one, or for none."""
    if item.suffix not in PACKED:
        return None
    stem = item.stem
    fit = _named(stem, item.suffix, declared)
    if fit is not None:
        return fit
    if any(
        _named(stem, item.suffix, Declared.of(part)) is not None
        for part in PARTS
        if part.slot != declared.cell
    ):
        return None  # called after another exercise
    mentioned = any(word.lower() in stem for word in declared.words)
    if item.suffix in ARCHIVES:
        return MENTIONS if mentioned else None
    if _holds(item, declared):
        return NAMED if mentioned else DEFINES
    return MENTIONS if mentioned else None


def _named(stem: str, suffix: str, declared: Declared) -> int | None:
    """Whether a file is called after an exercise, exactly or with what systems and people add."""
    name = declared.slug if suffix != ".py" else PurePosixPath(declared.name).stem
    if stem == name.lower():
        return EXACT
    added = any(
        re.fullmatch(rf"(?:copy\W+of\W+)?{re.escape(word.lower())}{COPIED}", stem)
        for word in declared.words
    )
    return COPY if added else None


def _holds(item: Item, declared: Declared) -> bool:
    """Whether a file defines the part, or is its notebook, however it is called."""
    try:
        if item.suffix == ".py":
            return has(item.open(LARGEST).decode("utf-8", "replace"), declared.defines)
        sheet = item.open(LARGEST_PARCEL)
        known = cell_names(sheet) & _cells_of(declared)
        return bool(known) or part_of(sheet, declared.cell, declared.defines) is not None
    except (UnusableSubmission, ValueError):
        return False


def _cells_of(declared: Declared) -> set[str]:
    """nbgrader's names of the cells by which a notebook is known to be this exercise's, one of them
    renamed or not."""
    number = next((part.number for part in PARTS if part.slot == declared.cell), 0)
    return {declared.cell, *(f"law-{number}-{law}" for law in range(1, 40))}


def _read(item: Item, fit: int, declared: Declared) -> _Candidate:
    notices: tuple[str, ...] = ()
    try:
        if item.suffix == ".ipynb":
            data, notices = _cell(item, declared)
        else:
            data = item.open(LARGEST) if item.suffix == ".zip" else _source(item, declared)
    except UnusableSubmission as unusable:
        return _Candidate(item, fit, PROBLEM, problem=unusable)
    if item.suffix == ".zip":
        unread = doubtful(
            f"{item.place} is an archive in an archive in an archive; hand in the part itself."
        )
        return _Candidate(item, fit, PROBLEM, problem=unread)
    state = STUB if untouched(data.decode("utf-8-sig", "replace")) else WRITTEN
    return _Candidate(item, fit, state, data, notices=notices)


def _source(item: Item, declared: Declared | None = None) -> bytes:
    """The text of a file that ought to be a part. Unusable when it is something else."""
    data = item.open(LARGEST)
    if what := instead(data):
        raise doubtful(f"{item.place} is {what} and no Python source; hand in the part itself.")
    text = decode(item.name, data)
    if declared is not None:
        _refuse_others(text, item.place, declared)
    return data


def _refuse_others(text: str, place: str, declared: Declared) -> None:
    """Raises Unusable for the text of a whole notebook, and for the part of another exercise."""
    if imports(text, CHECKING):
        raise doubtful(f"{place} holds cells of laws too; hand in the notebook, or the part alone.")
    if not declared.defines or has(text, declared.defines):
        return
    for part in PARTS:
        if has(text, Declared.of(part).defines):
            raise doubtful(
                f"{place} is the part of {part.title}, by what it defines; a person has to look."
            )


def _cell(item: Item, declared: Declared) -> tuple[bytes, tuple[str, ...]]:
    """The text of the learner's cell, and what was out of order with it. Unusable when that is
    gone, when it needs other cells, or when this is no notebook."""
    try:
        found = part_of(item.open(LARGEST_PARCEL), declared.cell, declared.defines)
    except ValueError:
        raise doubtful(f"{item.name} is not a notebook that can be read; save it again.") from None
    if found is None:
        problem = f"{item.name} has no cell {declared.cell!r} any more: it was deleted; fetch the notebook again."
        raise doubtful(problem)
    if found.borrowed:
        names = ", ".join(found.borrowed[:5])
        raise doubtful(
            f"the part in {item.name} uses {names}, which another cell defines; put all of it in one cell."
        )
    _refuse_others(found.text, f"the cell of {item.name}", declared)
    return found.text.encode("utf-8", "replace"), found.notices


def _cells(item: Item) -> list[Cell] | None:
    """The cells of a notebook; None when it cannot be read."""
    try:
        return cells_of(item.open(LARGEST_PARCEL))
    except (UnusableSubmission, ValueError):
        return None


def _same(one: bytes, other: bytes) -> bool:
    return canonical(one).strip() == canonical(other).strip()


# ---------------------------------------------------------------- when there is none


def explain(found: Sequence[Item], exercise: Part | None, home: str) -> UnusableSubmission:
    """Why there is no part: one that cannot be read, files that nobody can place, or none at all."""
    if not (found := _theirs(found)):
        return UnusableSubmission(f"{home} is empty: nothing was handed in.", missing=True)
    return _nothing(found, Declared.of(exercise) if exercise else None, home)


def _nothing(found: Sequence[Item], declared: Declared | None, home: str) -> UnusableSubmission:
    unplaced = [item for item in found if not _is_placed(item)]
    for item in unplaced or [
        item for item in found if item.suffix in PACKED or item.source.is_symlink()
    ]:
        try:
            item.open(LARGEST_PARCEL)
        except UnusableSubmission as unusable:
            return unusable
    missing = f"No part of any exercise was found in {home}"
    if declared:
        missing = f"{declared.name} is missing: there is none in {home}"
        unplaced += [
            item for item in found if item.suffix in (".py", ".ipynb") and _holds(item, declared)
        ]
    if not any(item.suffix in PACKED for item in found):  # pictures of a part, or its text
        unplaced = [item for item in found if item.name not in EXPECTED and item.suffix != ".md"]
    if unplaced:
        places = ", ".join(item.place for item in unplaced[:5])
        return doubtful(f"{missing}, but {places}; a person has to look.", missing=True)
    return UnusableSubmission(f"{missing}.", missing=True)


def _is_placed(item: Item) -> bool:
    """Whether a file needs no person: it is for some exercise, or no part of any."""
    if item.suffix in SPARE or item.name in (*EXPECTED, "__init__.py"):
        return item.suffix != ".txt" or not _is_code(item)
    return any(_fit(item, Declared.of(part)) is not None for part in PARTS)


def _is_code(item: Item) -> bool:
    """Whether a file that calls itself text is called after an exercise, or defines a part."""
    declared = [Declared.of(part) for part in PARTS]
    if any(word.lower() in item.stem for each in declared for word in each.words):
        return True
    try:
        text = item.open(LARGEST).decode("utf-8-sig", "replace")
    except UnusableSubmission:
        return False
    return any(has(text, each.defines) for each in declared)
