"""What was handed in, made into jobs: a folder of students, archives, notebooks, single files.

A folder is one student's when it holds a part itself, directly or as a workspace or nbgrader keeps it; otherwise every
entry in it is a student's. Nothing is unpacked or run, nothing is refused for its name, and whatever cannot be graded
becomes a job with a problem: a row of the report like any other.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from graders.batch.jobs import UNKNOWN, GradeJob, Options, key_of
from graders.registry.catalogue import Exercise, exercises
from graders.result import Outcome
from graders.submissions.notebook import untouched
from graders.submissions.submission_reader import LARGEST_PARCEL, MOST_ENTRIES, Declared, UnusableSubmission, take

MOST_FILES = 5000  # entries of one student's folder that are looked at
SUFFIXES = (".py", ".zip", ".ipynb")
OURS = ("solutions", "tests")  # of a clone of the course, which may be handed in whole
IGNORED = ("__MACOSX", "__pycache__")
JOURNAL = ".journal"  # the ending of folders in which batches live
IN_NOTEBOOK, IN_FILE, PROBLEM, STUB = range(4)  # of several parts of one student the one of the lowest rank counts


@dataclass(frozen=True, slots=True)
class DiscoveredJob:
    """A job, and the bytes of its part; empty for a job with a problem.

    guessed: the student's name was taken out of the longer name of a file, "bob" out of bob_block_manager.py.
    """

    job: GradeJob
    data: bytes = b""
    guessed: bool = False


class Discovery:
    """Makes jobs of one kind. wanted: numbers of exercises, or none for all that are found.

    With wanted exercises every student gets a row for each of them, handed in or not. one: every path is one student's,
    whatever is in it.
    """

    def __init__(self, wanted: Collection[int] = (), options: Options | None = None, *, one: bool = False) -> None:
        self.one = one
        self.options = options or Options()
        self.every = tuple(exercise for exercise in exercises() if not wanted or exercise.number in wanted)
        self.insists = bool(wanted)

    def all(self, paths: Iterable[Path]) -> list[DiscoveredJob]:
        """Every job in all of `paths`, sorted; of two parts of one student for one exercise neither is preferred.

        But a file whose longer name only holds the name of somebody who handed in otherwise is not theirs: anybody can
        name a file so. It is a row of its own.
        """
        found: dict[tuple[str, int], DiscoveredJob] = {}
        every = [each for path in paths for each in self._of(path)]
        certain = {each.job.student for each in every if not each.guessed}
        for each in every:
            handed = self._claimed(each) if each.guessed and each.job.student in certain else each
            before = found.setdefault(handed.job.order, handed)
            if before is not handed and before.job.key != handed.job.key:
                found[handed.job.order] = self._twice(before, handed)
        return [found[order] for order in sorted(found)]

    # ------------------------------------------------------------ whose is it

    def _of(self, path: Path) -> Iterator[DiscoveredJob]:
        if not _is_folder(path):
            yield from self._of_file(path)
        elif self.one or is_of_one(path):
            yield from self._student(path.resolve().name, list(_inside(path)), path)
        else:
            for entry in sorted(_inside(path)):
                if _is_folder(entry):
                    yield from self._student(entry.name, list(_inside(entry)), entry)
                else:
                    yield from self._of_file(entry)

    def _of_file(self, path: Path) -> Iterator[DiscoveredJob]:
        """Whose it is says the file's name: "ada" of ada.zip and of ada_block_manager.py."""
        name = path.name
        for suffix in SUFFIXES:
            name = name.removesuffix(suffix)
        student = self._name_in(name)
        for handed in self._student(student, [path], path):
            yield replace(handed, guessed=student != name)

    def _name_in(self, name: str) -> str:
        for part in (word for each in exercises() for word in (each.slug, each.slot)):
            shorter = re.sub(rf"(^|[-_. ]+){re.escape(part)}([-_. ]+|$)", "", name)
            name = shorter or name
        return name

    # ------------------------------------------------------------ which parts are there

    def _student(self, student: str, entries: list[Path], home: Path) -> Iterator[DiscoveredJob]:
        """The jobs of one student, whose things are `entries`."""
        if len(entries) > MOST_FILES:
            problem = f"{home.name} holds more than {MOST_FILES} files; hand in the part alone."
            yield from self._problems(student, home, UnusableSubmission(problem))
            return
        count = 0
        for exercise in self.every:
            places = list(_places(exercise, entries, alone=len(self.every) == 1))
            if places:
                count += 1
                yield self._first(student, exercise, places, home)
            elif self.insists:
                count += 1
                yield self._missing(student, exercise, entries, home)
        if not count:
            yield from self._problems(student, home, _why_nothing(entries, home))

    def _first(self, student: str, exercise: Exercise, places: list[Path], home: Path) -> DiscoveredJob:
        """Of the places one where something was written: in a notebook, as nbgrader does it, else in the first. If
        there is none the first problem, if there is none of those either the first stub."""
        found: list[tuple[int, DiscoveredJob]] = []
        for place in places:
            try:
                below = home if place != home else home.parent
                data = take(place, None if place.suffix == ".py" else Declared.of(exercise), below).data
            except UnusableSubmission as unusable:
                found.append((PROBLEM, self._problem(student, exercise.number, place, unusable)))
                continue
            rank = IN_NOTEBOOK if place.suffix == ".ipynb" else IN_FILE
            if untouched(data.decode("utf-8-sig", "replace")):
                rank = STUB
            found.append((rank, self._handed(student, exercise, place, data)))
        return min(found, key=lambda each: each[0])[1]

    def _missing(self, student: str, exercise: Exercise, entries: list[Path], home: Path) -> DiscoveredJob:
        reason = _why_nothing(entries, home)
        if entries and reason.missing:
            reason = UnusableSubmission(f"{exercise.file_name} is missing: there is none in {home.name}.")
        return self._problem(student, exercise.number, home, reason)

    def _handed(self, student: str, exercise: Exercise, source: Path, data: bytes) -> DiscoveredJob:
        name = exercise.file_name
        key = key_of(exercise.number, name, data, self.options)
        return DiscoveredJob(GradeJob(student, exercise.number, str(source), name, key), data)

    def _problems(self, student: str, source: Path, unusable: UnusableSubmission) -> Iterator[DiscoveredJob]:
        numbers = [each.number for each in self.every] if self.insists else [UNKNOWN]
        for number in numbers:
            yield self._problem(student, number, source, unusable)

    def _problem(self, student: str, exercise: int, source: Path, unusable: UnusableSubmission) -> DiscoveredJob:
        words = json.dumps([student, exercise, str(source), unusable.problem, asdict(self.options)])
        key = hashlib.sha256(words.encode()).hexdigest()
        tampering = unusable.outcome is Outcome.INVALID
        return DiscoveredJob(GradeJob(student, exercise, str(source), source.name, key, unusable.problem, tampering))

    def _claimed(self, handed: DiscoveredJob) -> DiscoveredJob:
        source = Path(handed.job.source)
        problem = f"{source.name} is named for {handed.job.student}, who handed in otherwise; whose is it?"
        return self._problem(source.name, handed.job.exercise, source, UnusableSubmission(problem))

    def _twice(self, one: DiscoveredJob, other: DiscoveredJob) -> DiscoveredJob:
        places = f"{one.job.source} and {other.job.source}"
        problem = f"{one.job.student} handed in two different parts, {places}; keep one."
        return self._problem(one.job.student, one.job.exercise, Path(one.job.source), UnusableSubmission(problem))


# ---------------------------------------------------------------- where parts are kept


def is_of_one(folder: Path) -> bool:
    """Whether a folder is one student's, and not a class's: it holds a part, no other folder in it does, and there are
    no archives in it.

    A class in which somebody's entry is named like a part's is still a class.
    """
    names = _names_of_parts()
    if not any(os.path.lexists(folder / name) for name in names):
        return False
    others = [entry for entry in _inside(folder) if entry.name not in (*names, *OURS)]
    if sum(entry.suffix == ".zip" for entry in others) > 1:
        return False
    return not any(os.path.lexists(entry / name) for entry in others if _is_folder(entry) for name in names)


def _names_of_parts() -> set[str]:
    return {"exercises", *(name for each in exercises() for name in (each.file_name, each.slug))}


def _places(exercise: Exercise, entries: list[Path], *, alone: bool) -> Iterator[Path]:
    """Where among the entries a part for the exercise may be, likeliest first: files, then archives and notebooks.

    alone: a lone Python file of any name is taken for the only exercise that was asked for.
    """
    yield from (entry for entry in entries if entry.name == exercise.file_name)
    for folder in (entry for entry in entries if entry.name in (exercise.slug, "exercises")):
        yield from _below(folder, exercise)
    yield from (entry for entry in entries if _fits(entry, exercise))
    python = [entry for entry in entries if entry.suffix == ".py" and not _belongs_elsewhere(entry, exercise)]
    if alone and len(python) == 1 and python[0].name != exercise.file_name:
        yield python[0]


def _below(folder: Path, exercise: Exercise) -> Iterator[Path]:
    """The part in the folder of an exercise, or in the `exercises` of a workspace; what a link leads to is refused by
    whoever takes it."""
    inner = folder if folder.name == exercise.slug else folder / exercise.slug
    if folder.is_symlink() or inner.is_symlink():
        yield inner / exercise.file_name
        return
    names = (exercise.file_name, f"{exercise.slug}.zip", f"{exercise.slug}.ipynb")
    yield from (inner / name for name in names if os.path.lexists(inner / name))


def _fits(entry: Path, exercise: Exercise) -> bool:
    """Whether a file that is named otherwise holds a part for the exercise."""
    if entry.name == exercise.file_name or not _is_file(entry):
        return False
    if entry.suffix == ".zip":
        return exercise.file_name in _names_in(entry) or _named_for(entry, exercise)
    if entry.suffix == ".ipynb":
        return _named_for(entry, exercise) or bool(_cells_in(entry) & _cells_of(exercise))
    return entry.suffix == ".py" and (_named_for(entry, exercise) or _defines(entry, exercise))


def _named_for(entry: Path, exercise: Exercise) -> bool:
    return exercise.slug in entry.name or exercise.slot in entry.name


def _belongs_elsewhere(entry: Path, exercise: Exercise) -> bool:
    return any(_named_for(entry, other) for other in exercises() if other.number != exercise.number)


def _names_in(archive: Path) -> set[str]:
    """The last parts of the names in an archive; none when it cannot be read."""
    try:
        with archive.open("rb") as file, zipfile.ZipFile(file) as opened:
            entries = opened.infolist()[:MOST_ENTRIES]
        return {entry.filename.rpartition("/")[2] for entry in entries}
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError):
        return set()


def _cells_in(notebook: Path) -> set[str]:
    """Everything in a notebook that may be the name of a cell."""
    try:
        with notebook.open("rb") as file:
            data = file.read(LARGEST_PARCEL)
    except OSError:
        return set()
    return {found.decode() for found in re.findall(rb'"grade_id"\s*:\s*"([A-Za-z0-9_-]{1,80})"', data)}


def _cells_of(exercise: Exercise) -> set[str]:
    """nbgrader's names of the cells by which a notebook is known to be this exercise's, one of them renamed or not."""
    return {exercise.slot, *(f"law-{law.number.replace('.', '-')}" for law in exercise.laws)}


def _defines(entry: Path, exercise: Exercise) -> bool:
    """Whether a Python file defines what the exercise asks for."""
    try:
        with entry.open("rb") as file:
            data = file.read(1 << 18)
    except OSError:
        return False
    wanted = rf"class {exercise.class_name}\b" if exercise.class_name else "def verify_greedy\\b"
    return re.search(rb"^" + wanted.encode(), data, re.MULTILINE) is not None


def _why_nothing(entries: list[Path], home: Path) -> UnusableSubmission:
    """Why there is nothing to grade, in one sentence."""
    try:
        os.lstat(home)
    except (OSError, ValueError) as trouble:
        return UnusableSubmission(f"{home.name} cannot be read: {getattr(trouble, 'strerror', trouble)}.")
    if home.is_symlink():
        return UnusableSubmission(
            f"{home.name} is a symbolic link; hand in the file or folder itself.", Outcome.INVALID
        )
    if _is_folder(home) and not entries:
        return UnusableSubmission(f"{home.name} is an empty folder: nothing was handed in.")
    for entry in entries:
        if entry.suffix in SUFFIXES:
            try:
                take(entry, Declared("part", cell="part"))
            except UnusableSubmission as unusable:
                if not unusable.missing:
                    return unusable
    return UnusableSubmission(f"No part of any exercise was found in {home.name}.", missing=True)


def _inside(folder: Path) -> Iterator[Path]:
    """What lies in a folder, sorted."""
    try:
        with os.scandir(folder) as listing:
            names = [entry.name for entry, _ in zip(listing, range(MOST_FILES + 1), strict=False)]
    except OSError:
        return
    yield from (folder / name for name in sorted(names) if not _is_ours(name))


def _is_ours(name: str) -> bool:
    """Not handed in by anyone: hidden files, what systems leave behind, journals of batches."""
    return name.startswith(".") or name in IGNORED or name.endswith(JOURNAL)


def _is_folder(path: Path) -> bool:
    return stat.S_ISDIR(_mode(path))


def _is_file(path: Path) -> bool:
    return stat.S_ISREG(_mode(path))


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except (OSError, ValueError):
        return 0
