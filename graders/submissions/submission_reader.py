"""What is handed in, and the one declared file of it that enters: a file, a folder, a zip archive or a notebook.

Nothing is unpacked and nothing executed. In a folder or archive only the declared file is looked at; a folder is not
walked, so it may hold a million others. Whatever cannot be what it seems (a link, a named pipe, a path that leaves the
archive, a file that swells when unpacked) is refused with the reason.
"""

from __future__ import annotations

import io
import os
import stat
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path

from graders.registry.parts import Part
from graders.result import Outcome
from graders.submissions.notebook import LARGEST, part_of
from graders.submissions.opened import UnusableSubmission, descriptor, refuse_links
from reference_engine.parts import FUNCTION_NAMES

__all__ = ["Declared", "ReadSubmission", "UnusableSubmission", "regular", "take"]

LARGEST_PARCEL = 8 << 20  # bytes of an archive or notebook
MOST_ENTRIES = 2000
SWELLING = 100  # times that a file may grow when it is unpacked; text does not
USUAL = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others take memory as the archive says
DEEPEST = 6  # folders above the declared file in an archive
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


@dataclass(frozen=True, slots=True)
class Declared:
    """The file of an exercise: its name, the folder a workspace keeps it in, the notebook cell that holds it.

    defines: names of which a part defines at least one, by which a cell is known whose marks were lost.
    """

    name: str
    folder: str = ""
    cell: str = ""
    defines: tuple[str, ...] = ()

    @classmethod
    def of(cls, part: Part) -> Declared:
        """What an exercise declares."""
        defines = (part.class_name,) if part.class_name else FUNCTION_NAMES
        return cls(part.file_name, f"exercises/{part.slug}", part.slot, defines)


@dataclass(frozen=True, slots=True)
class ReadSubmission:
    """What entered: `name` for messages, the bytes as they were handed in."""

    name: str
    data: bytes


def take(path: Path, declared: Declared | None = None, below: Path | None = None) -> ReadSubmission:
    """The declared file in whatever lies at `path`; without a declaration, the file itself. Raises Unusable.

    below: the folder that the instructor named, if `path` lies deeper in it: no link is followed on the way from there.
    """
    below = below or path.parent
    kind = _mode(path)
    if declared is None or not (stat.S_ISDIR(kind) or path.suffix in (".zip", ".ipynb")):
        return ReadSubmission(path.name, regular(path, path.name, LARGEST, below))
    if stat.S_ISDIR(kind):
        return _from_folder(path, declared, below)
    data = regular(path, path.name, LARGEST_PARCEL, below)
    if path.suffix == ".zip":
        return _from_archive(data, path.name, declared)
    text = _from_notebook(data, path.name, declared)
    return ReadSubmission(f"the cell of {path.name}", text.encode("utf-8", "replace"))  # whose lines are counted


# ---------------------------------------------------------------- files and folders


def _mode(path: Path) -> int:
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        raise UnusableSubmission(f"{path.name} is missing: there is no file {path}.", missing=True) from None
    except (OSError, ValueError) as trouble:
        raise UnusableSubmission(f"{path.name} cannot be read: {_reason(trouble)}.") from None


def regular(path: Path, name: str, largest: int, below: Path) -> bytes:
    """The bytes of a regular file to which no link leads below the folder `below`. Raises Unusable."""
    _refuse_kind(_mode(path), name)
    try:
        with open(descriptor(path, below), "rb") as file:
            _refuse_kind(os.fstat(file.fileno()).st_mode, name)
            data = file.read(largest + 1)
    except OSError as trouble:
        raise UnusableSubmission(f"{name} cannot be read: {_reason(trouble)}.") from None
    if len(data) > largest:
        raise UnusableSubmission(f"{name} is larger than {largest // 1024} KiB, too large for one part.")
    return data


def _refuse_kind(mode: int, name: str) -> None:
    for is_kind, words in KINDS:
        if is_kind(mode):
            raise UnusableSubmission(f"{name} is {words}, not a file; hand in the file itself.")


def _from_folder(folder: Path, declared: Declared, below: Path) -> ReadSubmission:
    places = [declared.name, *([f"{declared.folder}/{declared.name}"] if declared.folder else [])]
    for place in places:
        path = folder / place
        refuse_links(path, below)
        if os.path.lexists(path):
            return ReadSubmission(declared.name, regular(path, place, LARGEST, below))
    raise UnusableSubmission(f"{declared.name} is missing: there is none in {folder}.", missing=True)


def _reason(trouble: OSError | ValueError) -> str:
    return getattr(trouble, "strerror", None) or str(trouble)


# ---------------------------------------------------------------- archives


def _from_archive(parcel: bytes, name: str, declared: Declared) -> ReadSubmission:
    try:
        with zipfile.ZipFile(io.BytesIO(parcel)) as archive:
            entry = _declared_entry(archive.infolist(), name, declared.name)
            with archive.open(entry) as packed:
                data = packed.read(LARGEST + 1)
    except (zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, RuntimeError) as trouble:
        raise UnusableSubmission(f"{name} is no readable zip archive: {trouble}.") from None
    if len(data) > LARGEST:
        problem = f"{declared.name} in {name} unpacks to more than {LARGEST // 1024} KiB, too large for one part."
        raise UnusableSubmission(
            problem, Outcome.INVALID if entry.file_size > SWELLING * entry.compress_size else Outcome.FAIL
        )
    return ReadSubmission(declared.name, data)


def _declared_entry(entries: list[zipfile.ZipInfo], archive: str, name: str) -> zipfile.ZipInfo:
    """The one entry of that name; Unusable when there is none or another, or when any entry is not what it seems."""
    if len(entries) > MOST_ENTRIES:
        raise UnusableSubmission(f"{archive} holds {len(entries)} files; hand in {name} alone.")
    for entry in entries:
        _refuse_path(entry, archive)
    found = [entry for entry in entries if entry.filename.split("/")[-1] == name]
    if not found:
        raise UnusableSubmission(f"{name} is missing: there is none in {archive}.", missing=True)
    if len(found) > 1:
        raise UnusableSubmission(f"{archive} holds {len(found)} files named {name}; hand in one.")
    if found[0].flag_bits & 1:
        raise UnusableSubmission(f"{archive} is encrypted; hand it in without a password.")
    if found[0].compress_type not in USUAL:
        raise UnusableSubmission(f"{archive} is packed in an unusual way; pack it as an ordinary zip archive.")
    return found[0]


def _refuse_path(entry: zipfile.ZipInfo, archive: str) -> None:
    parts = entry.filename.split("/")
    if ".." in parts or entry.filename.startswith("/") or "\\" in entry.filename or ":" in parts[0]:
        raise UnusableSubmission(f"{archive} holds a path that leaves it: {entry.filename[:80]!r}.", Outcome.INVALID)
    if len(parts) > DEEPEST + 1:
        raise UnusableSubmission(f"{archive} holds folders nested deeper than {DEEPEST}; hand in the file itself.")
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        problem = f"{archive} holds something that is not a file: {entry.filename[:80]!r}."
        raise UnusableSubmission(problem, Outcome.INVALID)


# ---------------------------------------------------------------- notebooks


def _from_notebook(notebook: bytes, name: str, declared: Declared) -> str:
    """The text of the learner's cell. Unusable when that is gone, or this is no notebook."""
    try:
        text = part_of(notebook, declared.cell, declared.defines)
    except ValueError:
        raise UnusableSubmission(f"{name} is not a notebook that can be read; save it again.") from None
    if text is None:
        problem = f"{name} has no cell {declared.cell!r} any more: it was deleted; fetch the notebook again."
        raise UnusableSubmission(problem, missing=True)
    return text
