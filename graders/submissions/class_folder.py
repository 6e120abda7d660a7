"""Whose is what: a folder of students, loose files, what Canvas, Moodle and Gradescope give out for
a class.

A folder is one student's when it holds a part itself, directly or as a workspace or nbgrader keeps
it; otherwise every entry in it is a student's. An archive is a class's when everything in it is
named as Canvas or Moodle name things, or lies in folders of which the roster knows one.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from graders.registry.parts import PARTS
from graders.submissions.opened import UnusableSubmission
from graders.submissions.parcel import (
    JOURNAL,
    Item,
    class_items,
    composed,
    ending,
    is_noise,
    items,
    mode_of,
    unread,
    without_ending,
)
from graders.submissions.roster import Roster
from graders.submissions.submission_reader import COPIED, PACKED, SPARE

__all__ = ["JOURNAL", "Work", "is_of_class", "is_of_one", "works"]

CANVAS = re.compile(
    r"(?P<login>[^_]+)_(?:LATE_)?(?P<user>\d+)_(?P<submission>\d+)_(?P<name>.+)", re.IGNORECASE
)
MOODLE = re.compile(
    r"(?P<name>.+)_(?P<number>\d+)_assignsubmission_(?:file|onlinetext)_?", re.IGNORECASE
)
OURS = ("solutions", "tests")  # of a clone of the course, which may be handed in whole
GRADESCOPE = "submission_metadata.yml"
SUBMITTER = re.compile(r"^\s*:(sid|email):\s*['\"]?([^'\"\n]+?)['\"]?\s*$", re.MULTILINE)
PERSON = re.compile(r"^\s*- ", re.MULTILINE)  # begins in that list
# loose in a class: nobody's
LEFT_OVER = (*SPARE, ".ini", ".db", ".yml", ".yaml", ".xlsx", ".html", ".xml")


@dataclass(frozen=True, slots=True)
class Work:
    """What one student handed in. names: what the student may be called, the likeliest first.

    guessed: the name was taken out of the longer name of a file, "bob" out of bob_block_manager.py.
    """

    names: tuple[str, ...]
    home: Path
    items: tuple[Item, ...] = ()
    guessed: bool = False


def works(path: Path, roster: Roster, *, one: bool = False) -> Iterator[Work]:
    """The work of each student in what lies at `path`; one: all of it is one student's."""
    if not _is_folder(path):
        yield from _loose(path, roster, one=one, named=True)
    elif one or is_of_one(path):
        yield _work((composed(path.resolve().name),), path)
    else:
        submitters = _submitters(path)
        for name in _names(path):
            entry = path / name
            if _is_folder(entry):
                for names in submitters.get(name, [()]):
                    yield _work((*names, *_folder_names(name)), entry)
            elif not _is_left_over(entry):
                yield from _loose(entry, Roster(), one=False, named=False)


def is_of_one(folder: Path) -> bool:
    """Whether a folder is one student's, and not a class's: it holds a part, no other folder in it
    does, and there are no archives in it.

    A class in which somebody's entry is named like a part's is still a class.
    """
    known = {
        name
        for part in PARTS
        for name in (part.file_name, part.slug, f"{part.slug}.ipynb", f"{part.slug}.zip")
    }
    known |= {"exercises"}
    if not any(os.path.lexists(folder / name) for name in known):
        return False
    others = [folder / name for name in _names(folder) if name not in (*known, *OURS)]
    if sum(entry.suffix.lower() == ".zip" for entry in others) > 1:
        return False
    return not any(
        os.path.lexists(entry / name) for entry in others if _is_folder(entry) for name in known
    )


def is_of_class(path: Path, roster: Roster | None = None) -> bool:
    """Whether a folder or an archive holds the work of a class."""
    if _is_folder(path):
        return not is_of_one(path)
    try:
        return (
            path.suffix.lower() == ".zip"
            and _split(class_items(path), roster or Roster()) is not None
        )
    except UnusableSubmission:
        return False


def _is_left_over(entry: Path) -> bool:
    """A list or a page that was put beside the students; none that says whose part it is, and none
    of Canvas's."""
    name = composed(entry.name)
    left_over = ending(name) in LEFT_OVER and not entry.is_symlink()
    part = ending(name) == ".txt" and _student_of(name) != name
    return left_over and not part and not CANVAS.fullmatch(name)


def _work(names: tuple[str, ...], home: Path) -> Work:
    try:
        return Work(names, home, tuple(items(home)))
    except UnusableSubmission as unusable:
        return Work(names, home, (unread(composed(home.name), home, unusable),))


def _loose(path: Path, roster: Roster, *, one: bool, named: bool) -> Iterator[Work]:
    """A file of its own, or an archive that holds a class. named: its path was typed, so it may be
    any archive."""
    if path.suffix.lower() == ".zip" and not one and not path.is_symlink():
        try:
            split = _split(class_items(path), roster if named else Roster())
        except UnusableSubmission:
            split = None
        if split is not None:
            yield from (Work(names, path, tuple(found)) for names, found in split.items())
            return
    canvas = CANVAS.fullmatch(composed(path.name))
    student = _student_of(path.name)
    work = _work(_canvas_names(canvas) if canvas else (student,), path)
    if canvas:
        work = replace(work, items=tuple(_renamed(item, canvas["name"]) for item in work.items))
    yield replace(work, guessed=not canvas and student != without_ending(composed(path.name)))


def _renamed(item: Item, name: str) -> Item:
    return item if item.inner else item.below(PurePosixPath(name))


# ---------------------------------------------------------------- names


def _student_of(file: str) -> str:
    """The student's name in the name of a file: "ada" of ada.zip and of ada_block_manager.py."""
    name = composed(file)
    bare = without_ending(name)
    for word in sorted(
        {word for part in PARTS for word in (part.slug, part.slot)}, key=len, reverse=True
    ):
        for added in (COPIED, ""):
            shorter = re.sub(
                rf"(^|[-_. ]+){re.escape(word)}{added}([-_. ]+|$)", "", bare, flags=re.IGNORECASE
            )
            if shorter and shorter != bare:
                return shorter
    return bare if ending(name) in PACKED else name


def _folder_names(name: str) -> tuple[str, ...]:
    moodle = MOODLE.fullmatch(composed(name))
    if moodle is None:
        return (composed(name),)
    return f"{moodle['name']}_{moodle['number']}", moodle["number"], moodle["name"]


def _canvas_names(found: re.Match[str]) -> tuple[str, ...]:
    return found["login"], found["user"], f"{found['login']}_{found['user']}"


def _submitters(folder: Path) -> dict[str, list[tuple[str, ...]]]:
    """What Gradescope's list says of each folder beside it: of everybody in the group the student
    id and address."""
    try:
        text = (folder / GRADESCOPE).read_text(encoding="utf-8-sig", errors="replace")
    except OSError:
        return {}
    found: dict[str, list[tuple[str, ...]]] = {}
    for block in re.split(r"^(?=\S)", text, flags=re.MULTILINE):
        people = (sorted(SUBMITTER.findall(each), reverse=True) for each in PERSON.split(block))
        if named := [tuple(name for _, name in person) for person in people if person]:
            found[block.partition(":")[0].strip()] = named
    return found


# ---------------------------------------------------------------- archives of a class


def _split(found: list[Item], roster: Roster) -> dict[tuple[str, ...], list[Item]] | None:
    """The files of each student; None when the archive is one student's."""
    tops = {item.path.parts[0] for item in found}
    if len(tops) == 1 and all(len(item.path.parts) > 1 for item in found):
        (top,) = tops
        if not MOODLE.fullmatch(top):
            found = [item.below(PurePosixPath(*item.path.parts[1:])) for item in found]
    students: dict[tuple[str, ...], list[Item]] = {}
    nobodys = 0
    for item in found:
        names, path = _owner(item, roster)
        if names:
            students.setdefault(names, []).append(item.below(path))
        elif item.suffix not in LEFT_OVER:
            nobodys += 1
    return students if students and not nobodys else None


def _owner(item: Item, roster: Roster) -> tuple[tuple[str, ...], PurePosixPath]:
    top, *rest = item.path.parts
    canvas = CANVAS.fullmatch(top)
    if canvas and (not rest or ending(top) == ".zip"):
        return _canvas_names(canvas), PurePosixPath(canvas["name"], *rest)
    if not rest:
        return (), item.path
    below = PurePosixPath(*rest)
    if MOODLE.fullmatch(top):
        return _folder_names(top), below
    return (_folder_names(top), below) if roster and roster.find([top]) else ((), item.path)


# ---------------------------------------------------------------- folders


def _names(folder: Path) -> Iterable[str]:
    """What lies in a folder, sorted; however large the class is."""
    try:
        return sorted(name for name in os.listdir(folder) if not is_noise(name))
    except OSError:
        return []


def _is_folder(path: Path) -> bool:
    try:
        return stat.S_ISDIR(mode_of(path))
    except UnusableSubmission:
        return False
