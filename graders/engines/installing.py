"""Making an engine's environment: a virtual environment, then pip by the recipe, then a stamp. Needs a network.

One that was there is moved aside first and comes back, should the new one fail or be interrupted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from graders.engines import environments
from graders.engines.catalogue import EngineKind, Recipe

LOG, ASIDE = "{}-install.log", "{}.before"
"""Beside an environment of that name: what its installation said; the environment that it replaces, meanwhile."""
NO_NETWORK = ("Failed to establish a new connection", "NameResolutionError", "name resolution", "ProxyError")
"""What pip says on the way to "No matching distribution found" when nobody answers."""


class NotInstalled(Exception):
    """One sentence: which step failed, what pip said last, where the log is."""


Run = Callable[[Sequence[str], dict[str, str], Path], int]
"""Runs a command with further variables, its output appended to a log; the exit status."""


def install(kind: EngineKind, device: str, *, say: Callable[[str], None], run: Run | None = None) -> str:
    """Make the environment of `kind` for `device` from nothing; the engine's version. Raises NotInstalled.

    An environment that is there is replaced, if all goes well. `say` is told what happens, step by step.
    """
    plan = environments.recipe(kind, device)
    lack = environments.lacking(plan)
    if lack:
        raise NotInstalled(f"{kind.name} cannot be installed here: {lack}")
    place = environments.folder(kind)
    with _replacing(place):
        _fill(kind, plan, run or logged, say)
        version = environments.version_of(kind, environments.versions(place))
        if not version:
            raise NotInstalled(f"pip ended well, but {' or '.join(kind.distribution)} is not in {place}")
        today = datetime.now(UTC).date().isoformat()
        environments.write_stamp(place, engine=kind.name, device=device, version=version, installed=today)
    return version


def _fill(kind: EngineKind, plan: Recipe, run: Run, say: Callable[[str], None]) -> None:
    log = environments.root() / LOG.format(kind.name)
    log.unlink(missing_ok=True)
    for what, command in steps(kind, plan):
        say(what)
        if run(command, dict(plan.variables), log):
            raise NotInstalled(f"{what} failed: {_last_words(log)}. The log is {log}")


@contextmanager
def _replacing(place: Path) -> Iterator[None]:
    """Inside, `place` is a new empty folder. Leaving by an exception, what was there before is there again.

    A symbolic link stays one: the folder that it leads to is replaced. Raises NotInstalled for trouble with folders.
    """
    target = Path(os.path.realpath(place))
    before = target.with_name(ASIDE.format(target.name))
    try:
        _recover(target, before)
        old = target.is_dir()
        if old:
            target.rename(before)
        try:
            target.mkdir(parents=True)
            yield
        except BaseException:
            if old:
                _put_back(target, before)
            raise
    except OSError as error:
        raise NotInstalled(f"nothing can be installed in {place}: {_reason(error, target)}") from error
    shutil.rmtree(before, ignore_errors=True)


def _recover(target: Path, before: Path) -> None:
    """Settle what an installation left that was killed: the old environment counts unless the new one was finished."""
    if before.is_dir():
        if environments.read_stamp(target):
            shutil.rmtree(before)
        else:
            _put_back(target, before)


def _put_back(target: Path, before: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    with suppress(OSError):  # then it stays aside, where the next installation finds it
        before.rename(target)


def _reason(error: OSError, target: Path) -> str:
    for path in (target, *target.parents):
        if os.path.lexists(path) and not os.path.isdir(path):
            return f"{path} is a file, not a folder; move it away or set ${environments.VARIABLE} to another folder"
    return error.strerror or str(error)


def steps(kind: EngineKind, plan: Recipe) -> list[tuple[str, list[str]]]:
    """What is run, in order, each with what a person is told."""
    pip = [str(environments.python(kind)), "-m", "pip", "--disable-pip-version-check"]
    place = os.path.realpath(environments.folder(kind))  # venv refuses a symbolic link
    found = [("making the environment", [sys.executable, "-m", "venv", place])]
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
    if any(sign in line for line in lines for sign in NO_NETWORK):
        return "the package index cannot be reached; is there a network"
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    return (errors or [line for line in lines if line] or ["it said nothing"])[-1][:200]
