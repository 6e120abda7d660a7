"""Where the engines' virtual environments are, and in which state each is. Runs nothing, needs no
network."""

from __future__ import annotations

import enum
import json
import os
import shutil
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from graders.engines import lock_file
from graders.engines.catalogue import EngineKind, InstallRecipe, device_class
from graders.engines.lock_file import normal

STAMP = "kitchen.json"
VARIABLE = "COURSE_ENGINES"
WORKED, FAILED = "worked", "failed"
"""How what the stamp says of the last trial begins."""


class State(enum.StrEnum):
    """What can be said of an engine's environment without starting it."""

    READY = "ready"
    ABSENT = "not installed"
    IMPOSSIBLE = "cannot be had here"
    UNFINISHED = "installation broken off"
    MIXED = "two versions in one environment"
    CHANGED = "changed since it was installed"
    DRIFTED = "not as its lock says"
    UNTRIED = "installed, never tried"
    BROKEN = "installed, its trial failed"

    @property
    def startable(self) -> bool:
        """A trial may be made: nothing else is known against it."""
        return self in (State.READY, State.UNTRIED, State.BROKEN)


@dataclass(frozen=True, slots=True)
class EnvironmentStatus:
    """One engine on this machine. version: of the engine. trial: how its last trial run went, "" if
    it had none. locked: its packages are those of a lock.

    advice: what is missing and what to type, when the state is not READY.
    """

    kind: EngineKind
    state: State
    device: str
    folder: Path | None
    version: str = ""
    trial: str = ""
    advice: str = ""
    locked: bool = False

    @property
    def ready(self) -> bool:
        """It can be started, and what it does counts."""
        return self.state is State.READY


def root() -> Path:
    """The folder that holds one environment an engine: $COURSE_ENGINES, else one in the user's
    cache."""
    named = os.environ.get(VARIABLE)
    home = os.path.expanduser("~")  # stays as it is for a user without one
    return Path(
        named
        or os.path.join("/nonexistent" if home == "~" else home, ".cache/inference-kitchen/engines")
    )


def folder(kind: EngineKind) -> Path:
    """The environment of one engine, there or not."""
    return root() / kind.name


def python(kind: EngineKind) -> Path:
    """The interpreter that runs the engine: our own for the engines that are ours."""
    return folder(kind) / "bin" / "python" if kind.distribution else Path(sys.executable)


def recipe(kind: EngineKind, device: str) -> InstallRecipe:
    """How to fill the environment; one with `missing` set when nobody knows how."""
    if not kind.distribution:
        return InstallRecipe(missing="it is part of the course")
    return kind.recipes.get(device) or InstallRecipe(
        missing=f"there is no {device} build of {kind.what} to install"
    )


def lacking(plan: InstallRecipe, find: Callable[[str], str | None] = shutil.which) -> str:
    """What the machine lacks for an installation, in one clause; "" when nothing."""
    tools = [f"{tool} ({why})" for tool, why in plan.tools.items() if find(tool) is None]
    return plan.missing or (f"not found: {', '.join(tools)}" if tools else "")


def standing(kind: EngineKind, device: str | None = None) -> EnvironmentStatus:
    """The state of one engine's environment."""
    device = device or device_class()
    if not kind.distribution:
        return EnvironmentStatus(kind, State.READY, device, None, _own_version())
    place = folder(kind)
    lack = lacking(recipe(kind, device))
    if not os.path.exists(python(kind)):  # which is not there either in a home that is closed to us
        state = State.IMPOSSIBLE if lack else State.ABSENT
        return EnvironmentStatus(
            kind, state, device, None, advice=lack or f"course engines install {kind.name}"
        )
    again = f"course engines install {kind.name} --fresh"
    stamp = read_stamp(place)
    if not stamp:
        return EnvironmentStatus(kind, State.UNFINISHED, device, place, advice=again)
    found = versions(place)
    twice = sorted(name for name, all_of_it in found.items() if len(all_of_it) > 1)
    if twice:
        listed = ", ".join(f"{name} {' and '.join(found[name])}" for name in twice[:3])
        return EnvironmentStatus(kind, State.MIXED, device, place, advice=f"{listed}; {again}")
    version = version_of(kind, found)
    if told := drift(kind, device):
        return EnvironmentStatus(
            kind, State.DRIFTED, device, place, version, advice=f"{told}; {again}"
        )
    if version != stamp.get("version"):
        told = f"{version or 'nothing'} is installed, {stamp.get('version')} was; {again}"
        return EnvironmentStatus(kind, State.CHANGED, device, place, version, advice=told)
    tried = str(stamp.get("trial", ""))
    state = State.READY if tried.startswith(WORKED) else State.BROKEN if tried else State.UNTRIED
    again = "" if state is State.READY else f"course engines try {kind.name}"
    return EnvironmentStatus(
        kind, state, device, place, version, tried, lack or again, has_lock(kind, device)
    )


def drift(kind: EngineKind, device: str = "") -> str | None:
    """How an engine's environment differs from its lock, in a clause. device: what it is for, where
    no stamp says so.

    None: it does not, or there is no environment, or no lock for this platform.
    """
    place = folder(kind)
    device = str(read_stamp(place).get("device") or device or device_class())
    if not kind.distribution or not os.path.exists(python(kind)) or not has_lock(kind, device):
        return None
    try:
        return lock_file.drift(lock_file.read(kind, device), versions(place), _minor(place)) or None
    except lock_file.LockBroken as error:
        return str(error)


def has_lock(kind: EngineKind, device: str) -> bool:
    """The repository has a lock of this engine for this platform."""
    return lock_file.path(kind, device).is_file()


def versions(place: Path) -> dict[str, list[str]]:
    """Every version of every package whose metadata lies in an environment."""
    found: dict[str, list[str]] = {}
    for path in sorted(place.glob("lib/python*/site-packages/*.dist-info")):
        name, _, version = path.name.removesuffix(".dist-info").rpartition("-")
        found.setdefault(normal(name), []).append(version)
    return found


def version_of(kind: EngineKind, found: dict[str, list[str]]) -> str:
    """The engine's own version among `versions`; "" when it is not there."""
    return next(
        (version for name in kind.distribution for version in found.get(normal(name), [])), ""
    )


def read_stamp(place: Path) -> dict[str, Any]:
    """What the installation wrote at its end; empty when it never came there."""
    try:
        stamp = json.loads((place / STAMP).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def write_stamp(place: Path, **facts: Any) -> None:
    """Add to what is known about an environment, in one step."""
    written = place / f"{STAMP}.new"
    written.write_text(json.dumps(read_stamp(place) | facts, indent=2) + "\n", encoding="utf-8")
    written.replace(place / STAMP)


def _minor(place: Path) -> str:
    """The minor version of an environment's Python; "" when it has none or several."""
    found = [path.name.removeprefix("python") for path in place.glob("lib/python*")]
    return found[0] if len(found) == 1 else ""


def _own_version() -> str:
    from importlib import metadata

    try:
        return metadata.version("inference-kitchen")
    except metadata.PackageNotFoundError:
        return "source"
