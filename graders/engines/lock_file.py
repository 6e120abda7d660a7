"""Locks: every package of an engine's environment with its version and the hashes of its files, in
pip's own format.

A lock is up to four files in `locks/`, one a part. What they say holds for one class of device on
one platform and for the minor versions of Python named in their first lines. Runs nothing, needs no
network; `make_lock.py` makes them.
"""

from __future__ import annotations

import enum
import platform
import re
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from graders.engines.catalogue import EngineKind

FOLDER = Path(__file__).resolve().parent / "locks"
PIN = re.compile(r"([A-Za-z0-9][\w.-]*)==([\w.!+-]+)(?: ; (.+))?")
ONLY = re.compile(r'python_version == "(\d+\.\d+)"')
HASH = re.compile(r"--hash=sha256:([0-9a-f]{64})")
PYTHONS = "# python:"
UNLOCKED = frozenset({"pip", "setuptools", "wheel"})
"""What a virtual environment may come with."""


class Part(enum.StrEnum):
    """What is installed in one step, in this order. CPU: PyTorch's CPU builds of packages that MAIN
    pins as well, taken where an index offers them. SOURCE: built here with the tools of MAIN. CUDA:
    what a CUDA build of torch loads.
    """

    CPU = "cpu"
    MAIN = "main"
    SOURCE = "source"
    CUDA = "cuda"

    @property
    def ending(self) -> str:
        """Of its file's name."""
        return ".txt" if self is Part.MAIN else f".{self}.txt"


class LockBroken(Exception):
    """A lock that cannot be read: one clause with the file and the line."""


@dataclass(frozen=True, slots=True)
class Pin:
    """One package in one version. hashes: SHA-256 of each file that may be installed, in hex.
    pythons: the minor versions that get it, of those that the lock is for.
    """

    name: str
    version: str
    hashes: tuple[str, ...]
    pythons: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Lock:
    """The pins by part, and the minor versions of Python that they are for."""

    parts: Mapping[Part, tuple[Pin, ...]]
    pythons: tuple[str, ...]

    @property
    def pins(self) -> tuple[Pin, ...]:
        """Those of all parts."""
        return tuple(pin for pins in self.parts.values() for pin in pins)

    def versions(self, python: str) -> dict[str, str]:
        """Package to version, for one minor version of Python; packages by their `normal` name."""
        pins = (pin for part, pins in self.parts.items() if part is not Part.CPU for pin in pins)
        return {normal(pin.name): pin.version for pin in pins if python in pin.pythons}


def normal(name: str) -> str:
    """A package's name as packages are compared."""
    return re.sub(r"[-_.]+", "_", name).lower()


def here() -> str:
    """This machine's platform as locks are named after it: linux_x86_64, darwin_arm64, …"""
    return f"{sys.platform}_{platform.machine().lower()}"


def python_here() -> str:
    """The minor version that an environment made now gets."""
    return f"{sys.version_info.major}.{sys.version_info.minor}"


def path(kind: EngineKind, device: str, part: Part = Part.MAIN, machine: str = "") -> Path:
    """The file of one part, there or not."""
    return FOLDER / f"{kind.name}-{device}-{machine or here()}{part.ending}"


def lacking(kind: EngineKind, device: str) -> str:
    """Why there is no lock to install from, in a clause; "" when there is one. Raises LockBroken."""
    if not path(kind, device).is_file():
        return f"there is no lock of {kind.name} for {device} on {here()}"
    pythons = read(kind, device).pythons
    if python_here() not in pythons:
        return (
            f"the lock of {kind.name} is for Python {', '.join(pythons)}, not for {python_here()}"
        )
    return ""


def read(kind: EngineKind, device: str, machine: str = "") -> Lock:
    """The lock of one engine. Raises LockBroken, also when there is none."""
    files = {part: path(kind, device, part, machine) for part in Part}
    texts = {
        part: _text(file) for part, file in files.items() if part is Part.MAIN or file.is_file()
    }
    pythons = _pythons(texts[Part.MAIN], files[Part.MAIN])
    return Lock(
        {part: parse(text, pythons, files[part].name) for part, text in texts.items()}, pythons
    )


def parse(text: str, pythons: tuple[str, ...], source: str) -> tuple[Pin, ...]:
    """The pins in the text of one file. Raises LockBroken for a line that pins nothing or has no
    hash."""
    pins: list[Pin] = []
    for number, line in _joined(text):
        requirement, *hashes = re.split(r"\s+(?=--)", line)
        found = PIN.fullmatch(requirement)
        digests = [match[1] for each in hashes if (match := HASH.fullmatch(each))]
        if not found or not digests or len(digests) != len(hashes):
            raise LockBroken(
                f"{source}, line {number}: a lock pins each package as name==version with sha256 hashes"
            )
        only = tuple(ONLY.findall(found[3] or "")) or pythons
        pins.append(Pin(found[1], found[2], tuple(digests), only))
    return tuple(pins)


def text(pins: Iterable[Pin], pythons: tuple[str, ...], comments: Iterable[str]) -> str:
    """The file of one part; `parse` reads it again."""
    lines = [*(f"# {comment}" for comment in comments), f"{PYTHONS} {' '.join(pythons)}"]
    for pin in sorted(pins, key=lambda pin: (normal(pin.name), pin.pythons)):
        marker = "" if pin.pythons == pythons else " ; " + _marker(pin.pythons)
        lines.append(" \\\n    ".join([f"{pin.name}=={pin.version}{marker}", *_options(pin)]))
    return "\n".join(lines) + "\n"


def drift(lock: Lock, found: Mapping[str, Iterable[str]], python: str) -> str:
    """The first package of an environment that is not as locked, in a clause; "" when there is
    none.

    found: package to the versions that are there, by `normal` names. A version's local part (+cpu)
    is its builder's.
    """
    if python not in lock.pythons:
        return f"it has Python {python or 'of no known version'}, and its lock is for {', '.join(lock.pythons)}"
    wanted, optional = (
        lock.versions(python),
        {normal(pin.name) for pin in lock.parts.get(Part.CUDA, ())},
    )
    for name in sorted(found):
        for version in found[name]:
            if name not in wanted and name not in UNLOCKED:
                return f"{name} {version} is there, and its lock knows no {name}"
            if name in wanted and not same(version, wanted[name]):
                return f"{name} is {version}, and {wanted[name]} in its lock"
    gone = sorted(wanted.keys() - found.keys() - optional)
    return f"{gone[0]} {wanted[gone[0]]} of its lock is not there" if gone else ""


def same(version: str, pinned: str) -> bool:
    """Whether that version is the pinned one, whoever built it."""
    return version == pinned or ("+" not in pinned and version.partition("+")[0] == pinned)


def _text(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise LockBroken(
            f"{file.name} cannot be read: {getattr(error, 'strerror', None) or error}"
        ) from error


def _pythons(text: str, file: Path) -> tuple[str, ...]:
    for line in text.splitlines():
        if line.startswith(PYTHONS):
            return tuple(line.removeprefix(PYTHONS).split())
    raise LockBroken(f"{file.name} has no line {PYTHONS!r}")


def _joined(text: str) -> list[tuple[int, str]]:
    """The logical lines, each with the number of its first; comments and empty ones left out."""
    lines: list[tuple[int, str]] = []
    open_ = False
    for number, line in enumerate(text.splitlines(), 1):
        words = line.rstrip("\\").strip()
        if open_:
            lines[-1] = (lines[-1][0], f"{lines[-1][1]} {words}")
        elif words and not words.startswith("#"):
            lines.append((number, words))
        else:
            continue
        open_ = line.endswith("\\")
    return lines


def _options(pin: Pin) -> list[str]:
    return [f"--hash=sha256:{digest}" for digest in sorted(set(pin.hashes))]


def _marker(pythons: Iterable[str]) -> str:
    return " or ".join(f'python_version == "{python}"' for python in pythons)
