"""Where the results of labs lie, and which of them count here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from course.errors import Problem
from course.progress import replace_file
from course.workspace import Workspace
from graders.experiments.lab_names import LABS
from graders.experiments.results import LabResults, NoResults, read
from graders.throughput.hardware import Hardware

FOLDER = "labs"  # in the workspace's .course
NO_MATPLOTLIB = (
    "No PNG was drawn, as matplotlib is not installed: pip install 'inference-kitchen[plots]'."
)


@dataclass(frozen=True, slots=True)
class LabFiles:
    """What one lab leaves behind, `lab1.json`, `lab1.svg`, `lab1.png`, of a quick one
    `lab1-quick.json` and so on."""

    folder: Path
    lab: int
    quick: bool

    def path(self, ending: str) -> Path:
        """Of one kind: "json", "svg" or "png"."""
        return self.folder / f"lab{self.lab}{'-quick' * self.quick}.{ending}"

    def load(self) -> LabResults | None:
        """What was kept; None when there is nothing. Raises NoResults, a sentence, for what cannot
        be read."""
        path = self.path("json")
        try:
            return read(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise NoResults(f"{path} cannot be read: {error}") from None
        except NoResults as bad:
            raise NoResults(f"{path} {bad}") from None

    def keep(self, results: LabResults) -> None:
        """Write the results in one step. Raises Problem."""
        self.write("json", results.as_json())

    def write(self, ending: str, text: str) -> None:
        """Write one of the files in one step. Raises Problem."""
        path = self.path(ending)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, text)
        except OSError as error:
            raise Problem(f"{path} cannot be written: {error.strerror or error}.") from error

    def set_aside(self) -> Path:
        """Move the results to a name that is free; where they lie now. Raises Problem."""
        path, number = self.path("json"), 1
        while (aside := path.with_name(f"{path.name}.other-{number}")).exists():
            number += 1
        try:
            path.rename(aside)
        except OSError as error:
            raise Problem(f"{path} cannot be moved aside: {error.strerror or error}.") from error
        return aside


def folder(place: Workspace) -> Path:
    """Of all labs of a workspace."""
    return place.memory / FOLDER


def counting(where: Path, here: Hardware) -> tuple[Mapping[int, LabResults], Mapping[int, str]]:
    """Of every lab the results that count on this machine, whole before quick, finished before
    begun; and for each that has none, why, in a clause.
    """
    found, absent = dict[int, LabResults](), dict[int, str]()
    for lab in LABS:
        begun = list[LabResults]()
        for quick in (False, True):
            with suppress(_Unfit):
                begun += _fit(LabFiles(where, lab, quick), here, absent)
        begun.sort(key=lambda results: not results.complete)
        if begun:
            found[lab] = begun[0]
            absent.pop(lab, None)
    return found, absent


class _Unfit(Exception):
    """The file is there, and does not count."""


def _fit(files: LabFiles, here: Hardware, absent: dict[int, str]) -> Iterator[LabResults]:
    try:
        results = files.load()
    except NoResults as bad:
        absent[files.lab] = str(bad)
        raise _Unfit from None
    if results is None:
        return
    elsewhere = here.difference(results.setup.hardware)
    if elsewhere:
        absent[files.lab] = f"{files.path('json')} is from another machine: {elsewhere}"
        raise _Unfit
    yield results
