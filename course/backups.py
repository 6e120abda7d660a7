"""Files of a learner that were replaced, kept under `.course/backups/` with a number each."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from course.workspace import Workspace
from graders.registry.catalogue import Exercise


def folder(place: Workspace, exercise: Exercise) -> Path:
    return place.memory / "backups" / exercise.slug


def keep(path: Path, into: Path) -> Path | None:
    """Copy `path` into the folder under the next free number; None when there is nothing to copy.
    `OSError`."""
    if not path.exists():
        return None
    into.mkdir(parents=True, exist_ok=True)
    copy = into / f"{path.stem}.{max(numbered(into, path), default=0) + 1}{path.suffix}"
    put(path, copy)
    return copy


def put(source: Path, target: Path) -> None:
    """Copy a file in one step: the target is whole, old or new. `OSError`."""
    partial = target.with_name(f".{target.name}.partial")
    shutil.copy2(source, partial)
    os.replace(partial, target)


def numbered(kept_in: Path, path: Path) -> dict[int, Path]:
    """The backups of `path` in a folder, by number."""
    found = {}
    for copy in kept_in.glob(f"{path.stem}.*{path.suffix}"):
        number = copy.name.removeprefix(f"{path.stem}.").removesuffix(path.suffix)
        if number.isdecimal():
            found[int(number)] = copy
    return found
