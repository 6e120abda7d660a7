"""Making an engine's environment: a virtual environment, then pip by the recipe, then a stamp. Needs a network."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from graders.engines import environments
from graders.engines.catalogue import EngineKind, Recipe

LOG = "install.log"


class NotInstalled(Exception):
    """One sentence: which step failed, what pip said last, where the log is."""


Run = Callable[[Sequence[str], dict[str, str], Path], int]
"""Runs a command with further variables, its output appended to a log; the exit status."""


def install(kind: EngineKind, device: str, *, say: Callable[[str], None], run: Run | None = None) -> str:
    """Make the environment of `kind` for `device` from nothing; the engine's version. Raises NotInstalled.

    An environment that is there is removed first. `say` is told what happens, step by step.
    """
    plan = environments.recipe(kind, device)
    lack = environments.lacking(plan)
    if lack:
        raise NotInstalled(f"{kind.name} cannot be installed here: {lack}")
    place = environments.folder(kind)
    if place.exists():
        shutil.rmtree(place)
    place.mkdir(parents=True)
    for what, command in steps(kind, plan):
        say(what)
        status = (run or logged)(command, dict(plan.variables), place / LOG)
        if status:
            raise NotInstalled(f"{what} failed: {_last_words(place / LOG)}. The log is {place / LOG}")
    version = environments.version_of(kind, environments.versions(place))
    if not version:
        raise NotInstalled(f"pip ended well, but {' or '.join(kind.distribution)} is not in {place}")
    today = datetime.now(UTC).date().isoformat()
    environments.write_stamp(place, engine=kind.name, device=device, version=version, installed=today)
    return version


def steps(kind: EngineKind, plan: Recipe) -> list[tuple[str, list[str]]]:
    """What is run, in order, each with what a person is told."""
    pip = [str(environments.python(kind)), "-m", "pip", "--disable-pip-version-check"]
    found = [("making the environment", [sys.executable, "-m", "venv", str(environments.folder(kind))])]
    if plan.packages:
        found.append((f"installing {_listed(plan.packages)}", [*pip, "install", *plan.packages]))
    if plan.bare:
        found.append((f"installing {', '.join(plan.bare)} alone", [*pip, "install", "--no-deps", *plan.bare]))
    if plan.remove:
        found.append((f"removing {', '.join(plan.remove)}", [*pip, "uninstall", "--yes", *plan.remove]))
    return found


def logged(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
    """Run a command in this environment plus `variables`; both its streams go to the end of `log`."""
    with log.open("ab") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        file.flush()
        return subprocess.run(
            command, env={**os.environ, **variables}, stdin=subprocess.DEVNULL, stdout=file, stderr=file
        ).returncode


def _listed(packages: Sequence[str], most: int = 5) -> str:
    """The packages, or the first of them and how many more."""
    rest = len(packages) - most
    return ", ".join(packages[:most]) + (f" and {rest} more" if rest > 0 else "")


def _last_words(log: Path) -> str:
    try:
        lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()]
    except OSError:
        return "it left no log"
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (errors or [line for line in lines if line] or ["it said nothing"])[-1][:200]
