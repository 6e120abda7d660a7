"""What lies in a hand-in, as one flat list of files: a file, a folder, an archive, archives in
folders and in archives.

Nothing is unpacked to the disk and nothing executed; no link is followed. What a system leaves
behind (`__MACOSX`, `.venv`, `desktop.ini`) is no file of anybody. A file is read when somebody asks
for it; whatever cannot be what it seems (a link, a named pipe, a path that leaves its archive, a
file that swells when unpacked) is refused then, with the reason.
"""

from __future__ import annotations

import io
import itertools
import os
import re
import stat
import unicodedata
import zipfile
import zlib
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath

from graders.result import Outcome
from graders.submissions.opened import UnusableSubmission, descriptor
from graders.submissions.plain_text import in_utf8

LARGEST_PARCEL = 8 << 20  # bytes of an archive or notebook
MOST_FILES = 5000  # entries of one student's folder that are looked at
MOST_ENTRIES = 2000  # of one student's archive
MOST_OF_CLASS = 100_000  # of the archive of a whole class
SWELLING = 100  # times that a file may grow when it is unpacked; text does not
USUAL = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # others take memory as the archive says
DEEPEST = 6  # folders above a file
# browsers add to text
ENDING = re.compile(r"(?:(\.py|\.ipynb)(?:\.txt|\.json)?|(\.tar)(?:\.\w+)?|(\.[^. ]+))?[. ]*$")
# archives that nobody opens here
FOREIGN = (".7z", ".rar", ".tar", ".tgz", ".gz", ".bz2", ".xz", ".zst")
ARCHIVES = (".zip", *FOREIGN)
PARTS = (".py", ".ipynb", ".zip")  # the endings of what is opened here
UNSEEN = re.compile(r"\.(?!_).+\.(py|ipynb|zip)(?![a-z]).*|\.ipynb_checkpoints|.+\.pyc")
NESTED = 2  # archives in archives that are opened
WITHIN = "\0"  # between the names of archives in archives; no name holds it
DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    OSError,
    ValueError,
    RuntimeError,
    NotImplementedError,
)
JOURNAL = ".journal"  # the ending of folders in which batches live
IGNORED = frozenset(
    ("__macosx", "__pycache__", "venv", "node_modules", "desktop.ini", "thumbs.db", "ehthumbs.db")
)
KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISLNK, "a symbolic link"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def doubtful(problem: str, *, missing: bool = False) -> UnusableSubmission:
    """A hand-in that a person has to look at: no score, and no zero either."""
    return UnusableSubmission(problem, Outcome.UNGRADED, missing=missing)


@dataclass(frozen=True, slots=True)
class Item:
    """One file of a hand-in.

    path: inside of it, accents composed. source: the file or archive on the disk. inner: the name
    in that archive, with those of archives on the way, empty for a file of its own. open: its
    bytes, at most so many, text in UTF-8; Unusable when they cannot be had.
    """

    path: PurePosixPath
    source: Path
    inner: str
    open: Callable[[int], bytes]

    @property
    def name(self) -> str:
        return self.path.name

    @property
    def suffix(self) -> str:
        """The ending in small letters: ".ZIP" is ".zip", and what a browser makes of ".py",
        ".py.txt", is ".py"."""
        return ending(self.name)

    @property
    def stem(self) -> str:
        """The name without its ending, in small letters."""
        return without_ending(self.name).lower()

    @property
    def place(self) -> str:
        """Where it lies, in words."""
        return f"{self.path} in {self.source.name}" if self.inner else str(self.path)

    def below(self, path: PurePosixPath) -> Item:
        """The same file by another path."""
        return Item(path, self.source, self.inner, self.open)


def items(path: Path, *, most: int = MOST_FILES) -> list[Item]:
    """Every file in what lies at `path`, those nearest to its top first. Unusable when there is no
    such thing.

    Of a folder with more than `most` entries only so many are looked at.
    """
    mode = mode_of(path)
    if stat.S_ISDIR(mode):
        return list(_in_folder(path, most))
    return list(_opened(lone(path), MOST_ENTRIES))


def lone(path: Path) -> Item:
    """The file at `path`, whatever it is."""
    return _file(path, PurePosixPath(composed(path.name)))


def class_items(archive: Path) -> list[Item]:
    """Every file of an archive that holds a class. Unusable when it cannot be read."""
    item = lone(archive)
    return list(_in_archive(item, MOST_OF_CLASS, lambda: archive.open("rb"), -1, DEEPEST + 2))


def opened(source: Path, inner: str, largest: int = LARGEST_PARCEL) -> bytes:
    """The bytes of a file that was found before, in an archive or by itself. Unusable when it is
    gone."""
    if not inner:
        return lone(source).open(largest)
    _refuse_kind(mode_of(source), source.name)

    def data() -> io.BufferedIOBase:
        return source.open("rb")

    *archives, name = inner.split(WITHIN)
    at: Callable[[], io.BufferedIOBase] = data
    for each in archives:
        at = partial(io.BytesIO, _unpacked(at, each, source.name, LARGEST_PARCEL))
    return _unpacked(at, name, source.name, largest)


def _unpacked(
    data: Callable[[], io.BufferedIOBase], name: str, archive: str, largest: int
) -> bytes:
    try:
        with data() as file, zipfile.ZipFile(file) as packed:
            entry = packed.getinfo(name)
    except (*DAMAGED, KeyError):
        raise doubtful(f"{name} is not in {archive} any more.") from None
    return _unpacking(entry, archive, data)(largest)


def composed(text: str) -> str:
    """The text in Unicode's composed form, in which an accent belongs to its letter."""
    return unicodedata.normalize("NFC", text)


def ending(name: str) -> str:
    """What kind of file a name stands for, in small letters: ".py" of "a.PY", of "a.py.txt" and of
    "a.py "."""
    found = ENDING.search(name.lower())
    return (found[1] or found[2] or found[3] or "") if found and found.start() else ""


def without_ending(name: str) -> str:
    """The name without that."""
    found = ENDING.search(name.lower())
    return name[: found.start()] if found and found.start() else name


def is_noise(name: str) -> bool:
    """Not handed in by anyone: hidden files, what systems leave behind, journals of batches."""
    small = name.lower()
    return name.startswith(".") or small in IGNORED or small.endswith((JOURNAL, ".pyc"))


def mode_of(path: Path) -> int:
    """What kind of thing lies there, links not followed. Unusable when nothing does."""
    try:
        return os.lstat(path).st_mode
    except FileNotFoundError:
        raise UnusableSubmission(
            f"{path.name} is missing: there is no file {path}.", missing=True
        ) from None
    except (OSError, ValueError) as trouble:
        raise doubtful(f"{path.name} cannot be read: {_reason(trouble)}.") from None


# ---------------------------------------------------------------- files and folders


def regular(path: Path, name: str, largest: int, below: Path) -> bytes:
    """The bytes of a regular file to which no link leads below the folder `below`. Raises Unusable."""
    _refuse_kind(mode_of(path), name)
    try:
        with open(descriptor(path, below), "rb") as file:
            _refuse_kind(os.fstat(file.fileno()).st_mode, name)
            data = file.read(largest + 1)
    except OSError as trouble:
        raise doubtful(f"{name} cannot be read: {_reason(trouble)}.") from None
    if len(data) > largest:
        raise doubtful(f"{name} is larger than {largest // 1024} KiB, too large for one part.")
    return data


def _refuse_kind(mode: int, name: str) -> None:
    for is_kind, words in KINDS:
        if is_kind(mode):
            outcome = Outcome.INVALID if stat.S_ISLNK(mode) else Outcome.UNGRADED
            raise UnusableSubmission(
                f"{name} is {words}, not a file; hand in the file itself.", outcome
            )


def _reason(trouble: OSError | ValueError) -> str:
    return getattr(trouble, "strerror", None) or str(trouble)


def _file(path: Path, inside: PurePosixPath) -> Item:
    below = path.parents[len(inside.parts) - 1]
    return Item(inside, path, "", lambda largest: in_utf8(regular(path, path.name, largest, below)))


def _in_folder(top: Path, most: int) -> Iterator[Item]:
    """Breadth first, so that what lies near the top is seen however much lies below. A folder into
    which nobody looked is an item that says so, and so is what is hidden and may be meant: it was
    handed in."""
    waiting, hidden = deque([(top, PurePosixPath())]), ""
    while waiting:
        folder, inside = waiting.popleft()
        name = str(inside) if inside.parts else composed(top.name)
        try:
            entries = _entries(folder, most)
        except OSError as trouble:
            yield unread(name, folder, doubtful(f"{name} cannot be read: {_reason(trouble)}."))
            continue
        for entry in entries:
            path = inside / composed(entry.name)
            if not entry.is_dir(follow_symlinks=False) or _is_empty_part(entry):
                yield from _opened(_file(Path(entry.path), path), MOST_ENTRIES)
            elif len(path.parts) <= DEEPEST:
                waiting.append((Path(entry.path), path))
            else:
                yield unread(
                    f"{path}",
                    Path(entry.path),
                    doubtful(f"{path} lies deeper than {DEEPEST} folders."),
                )
        most -= len(entries)
        if most <= 0:
            yield unread(
                name,
                folder,
                doubtful(f"{name} is among too many files to look through; hand in the part."),
            )
            return
        hidden = hidden or _hidden(folder)
    if hidden:
        yield unread(
            hidden,
            top,
            doubtful(f"{hidden} is all that is there, and nobody reads it; hand in the part."),
        )


def _entries(folder: Path, most: int) -> list[os.DirEntry[str]]:
    with os.scandir(folder) as listing:
        found = (entry for entry in listing if not is_noise(entry.name))
        return sorted(itertools.islice(found, most), key=lambda entry: entry.name)


def _hidden(folder: Path) -> str:
    """What lies in a folder unseen and may be all there is of somebody's work: a part with a dot
    before its name or in a cloud, checkpoints, a compiled part."""
    try:
        return min(
            (name for name in os.listdir(folder) if UNSEEN.fullmatch(name.lower())), default=""
        )
    except OSError:
        return ""


def unread(name: str, source: Path, why: UnusableSubmission) -> Item:
    """What stands for something that was handed in and that nobody has looked into: whoever opens
    it is told why."""
    return Item(PurePosixPath(name), source, "", _refusing(why))


def _is_empty_part(folder: os.DirEntry[str]) -> bool:
    """Whether a folder has the name of a file and nothing in it: whoever looks for that file is
    told so."""
    try:
        return ending(folder.name) in PARTS and not os.listdir(folder)
    except OSError:
        return False


# ---------------------------------------------------------------- archives


def _opened(item: Item, most: int, nested: int = 0) -> Iterator[Item]:
    """The files in an archive; the file itself if it is none, or one that cannot be read."""
    if item.suffix not in ARCHIVES or nested >= NESTED:
        yield item
        return
    try:
        if item.suffix in FOREIGN and (item.inner or stat.S_ISREG(mode_of(item.source))):
            raise doubtful(
                f"{item.place} is an archive of a kind that nobody opens here; hand in a zip archive."
            )
        if item.inner or stat.S_ISREG(mode_of(item.source)):
            data = item.open(LARGEST_PARCEL)
            yield from list(_in_archive(item, most, lambda: io.BytesIO(data), nested, DEEPEST))
        else:
            yield item
    except UnusableSubmission as unusable:
        yield Item(item.path, item.source, item.inner, _refusing(unusable))


def _refusing(unusable: UnusableSubmission) -> Callable[[int], bytes]:
    def refuse(_: int) -> bytes:
        raise unusable

    return refuse


def _in_archive(
    item: Item, most: int, data: Callable[[], io.BufferedIOBase], nested: int, deepest: int
) -> Iterator[Item]:
    try:
        with data() as file, zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    except DAMAGED as trouble:
        raise doubtful(f"{item.name} is no readable zip archive: {trouble}.") from None
    files = [
        (path, entry)
        for path, entry in _paths(entries, item.name)
        if not any(map(is_noise, path.parts))
    ]
    if len(files) > most:
        raise doubtful(f"{item.name} holds {len(files)} files; hand in the part alone.")
    if not files:
        raise doubtful(f"{item.name} is an archive with nothing in it.")
    for inside, entry in sorted(files, key=lambda each: len(each[0].parts)):
        path = item.path / inside if item.inner else inside
        inner = f"{item.inner}{WITHIN}{entry.filename}" if item.inner else entry.filename
        if len(inside.parts) > deepest + 1:
            problem = (
                f"{item.name} holds folders nested deeper than {deepest}; hand in the file itself."
            )
            yield Item(path, item.source, inner, _refusing(doubtful(problem)))
        else:
            packed = Item(path, item.source, inner, _unpacking(entry, item.name, data))
            yield from _opened(packed, most, nested + 1)


def _paths(
    entries: list[zipfile.ZipInfo], archive: str
) -> Iterator[tuple[PurePosixPath, zipfile.ZipInfo]]:
    """The files of an archive and where they lie. Unusable for a path that leaves it."""
    for entry in entries:
        path = _path_of(entry, archive)
        if path.parts and not entry.filename.endswith(("/", "\\")):
            yield path, entry


def _path_of(entry: zipfile.ZipInfo, archive: str) -> PurePosixPath:
    """Old Windows writes backslashes. Unusable for a path that leaves the archive."""
    name = composed(entry.filename.replace("\\", "/"))
    parts = name.split("/")
    if ".." in parts or name.startswith("/") or re.match("[A-Za-z]:", name):
        raise UnusableSubmission(
            f"{archive} holds a path that leaves it: {entry.filename[:80]!r}.", Outcome.INVALID
        )
    return PurePosixPath(name)


def _unpacking(
    entry: zipfile.ZipInfo, archive: str, data: Callable[[], io.BufferedIOBase]
) -> Callable[[int], bytes]:
    def unpack(largest: int) -> bytes:
        _refuse_entry(entry, archive)
        try:
            with data() as file, zipfile.ZipFile(file) as opened, opened.open(entry) as packed:
                unpacked = packed.read(largest + 1)
        except DAMAGED as trouble:
            raise doubtful(f"{archive} is no readable zip archive: {trouble}.") from None
        if len(unpacked) > largest:
            name = entry.filename.rpartition("/")[2]
            bomb = entry.file_size > SWELLING * max(1, entry.compress_size)
            raise UnusableSubmission(
                f"{name} in {archive} unpacks to more than {largest // 1024} KiB, too large for one part.",
                Outcome.INVALID if bomb else Outcome.UNGRADED,
            )
        return in_utf8(unpacked)

    return unpack


def _refuse_entry(entry: zipfile.ZipInfo, archive: str) -> None:
    mode = entry.external_attr >> 16
    if stat.S_IFMT(mode) and not stat.S_ISREG(mode):
        problem = f"{archive} holds something that is not a file: {entry.filename[:80]!r}."
        raise UnusableSubmission(problem, Outcome.INVALID)
    if entry.flag_bits & 1:
        raise doubtful(f"{archive} is encrypted; hand it in without a password.")
    if entry.compress_type not in USUAL:
        raise doubtful(
            f"{archive} is packed in an unusual way; pack it as an ordinary zip archive."
        )
