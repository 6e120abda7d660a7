"""Making an engine's environment: a virtual environment, then pip by the lock, a stamp, a trial.
Needs a network.

One that was there is moved aside first and comes back, should the new one fail or be interrupted.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from graders.engines import environments, lock_file
from graders.engines.catalogue import EngineKind, InstallRecipe
from graders.engines.lock_file import Part

LOG, ASIDE = "{}-install.log", "{}.before"
"""Beside an environment of that name: what its installation said; the environment that it replaces, meanwhile."""
NO_NETWORK = (
    "Failed to establish a new connection",
    "NameResolutionError",
    "name resolution",
    "ProxyError",
)
"""What pip says on the way to "No matching distribution found" when nobody answers."""
FULL = ("No space left on device", "Disk quota exceeded")
OTHER_FILE = "DO NOT MATCH THE HASHES"
GONE = "No matching distribution found"


class NotInstalled(Exception):
    """One sentence: which step failed, what pip said last, where the log is."""


Run = Callable[[Sequence[str], dict[str, str], Path], int]
"""Runs a command with further variables, its output appended to a log; the exit status."""


Prove = Callable[[EngineKind], str]
"""Tries what was installed and remembers how that went; why it does not work, in a clause, "" when it does."""


def install(
    kind: EngineKind,
    device: str,
    *,
    say: Callable[[str], None],
    prove: Prove,
    unlocked: bool = False,
    run: Run | None = None,
) -> str:
    """Make the environment of `kind` for `device` from nothing and try it; the engine's version.
    Raises NotInstalled.

    An environment that is there is replaced, if all goes well. One that fails its trial stays, and
    counts as broken, where there is no better one to come back. unlocked: by the recipe, where
    there is no lock for this platform. `say` is told what happens, step by step.
    """
    plan = environments.recipe(kind, device)
    lack = environments.lacking(plan) or _unfit(kind, device, unlocked)
    if lack:
        raise NotInstalled(f"{kind.name} cannot be installed here: {lack}")
    place = environments.folder(kind)
    fallback = environments.standing(kind, device).ready
    failure = ""
    with _replacing(place):
        _fill(_Work(kind, plan, device, unlocked), run or logged, say)
        version = environments.version_of(kind, environments.versions(place))
        if not version:
            raise NotInstalled(
                f"pip ended well, but {' or '.join(kind.distribution)} is not in {place}"
            )
        if differs := environments.drift(kind, device):
            raise NotInstalled(f"pip ended well, but {differs}")
        today = datetime.now(UTC).date().isoformat()
        environments.write_stamp(
            place, engine=kind.name, device=device, version=version, installed=today
        )
        say(f"{kind.name} {version} is in its place; a trial")
        failure = prove(kind)
        if failure and fallback:
            raise NotInstalled(f"{kind.name} {version} was installed and does not work: {failure}")
    if failure:
        raise NotInstalled(
            f"{kind.name} {version} is installed, does not work and does not count: {failure}"
        )
    return version


def _unfit(kind: EngineKind, device: str, unlocked: bool) -> str:
    """Why it cannot be installed from a lock, or without one if that is what is asked for."""
    try:
        lack = lock_file.lacking(kind, device)
    except lock_file.LockBroken as error:
        return str(error)
    if lack and not unlocked:
        return f"{lack}; --unlocked takes the newest packages, and what they do is anybody's guess"
    if unlocked and not lack:
        return "there is a lock; --unlocked is for platforms without one"
    return ""


@dataclass(frozen=True, slots=True)
class _Work:
    """What is to be installed."""

    kind: EngineKind
    plan: InstallRecipe
    device: str
    unlocked: bool


def _fill(work: _Work, run: Run, say: Callable[[str], None]) -> None:
    name = work.kind.name
    log = environments.root() / LOG.format(name)
    log.unlink(missing_ok=True)
    variables = dict(work.plan.variables)
    if not work.unlocked:
        # Nobody's configuration may add to what a lock says; a build finds the tools that the lock
        # has installed.
        tools = os.path.join(os.path.realpath(environments.folder(work.kind)), "bin")
        variables |= {
            "PIP_CONSTRAINT": os.devnull,
            "PATH": f"{tools}{os.pathsep}{os.environ.get('PATH', os.defpath)}",
        }
    made = steps(work.kind, work.plan) if work.unlocked else locked_steps(work.kind, work.device)
    for what, command, needed in made:
        say(what)
        if run(command, variables, log) and needed:
            raise NotInstalled(f"{what} failed: {_last_words(log, name)}. The log is {log}")


@contextmanager
def _replacing(place: Path) -> Iterator[None]:
    """Inside, `place` is a new empty folder. Leaving by an exception, what was there before is
    there again.

    A symbolic link stays one: the folder that it leads to is replaced. Raises NotInstalled for
    trouble with folders.
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
        raise NotInstalled(
            f"nothing can be installed in {place}: {_reason(error, target)}"
        ) from error
    shutil.rmtree(before, ignore_errors=True)


def _recover(target: Path, before: Path) -> None:
    """Settle what an installation left that was killed: the old environment counts unless the new
    one had its trial."""
    if before.is_dir():
        if str(environments.read_stamp(target).get("trial", "")).startswith(environments.WORKED):
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


Step = tuple[str, list[str], bool]
"""What a person is told, the command, and whether the installation fails with it."""


def steps(kind: EngineKind, plan: InstallRecipe) -> Iterator[Step]:
    """What is run without a lock, in order."""
    pip = _pip(kind)
    yield _environment(kind)
    if plan.packages:
        yield f"installing {_listed(plan.packages)}", [*pip, "install", *plan.packages], True
    if plan.bare:
        yield (
            f"installing {', '.join(plan.bare)} alone",
            [*pip, "install", "--no-deps", *plan.bare],
            True,
        )
    if plan.without:
        yield (
            f"removing {', '.join(plan.without)}",
            [*pip, "uninstall", "--yes", *plan.without],
            True,
        )


def locked_steps(kind: EngineKind, device: str) -> Iterator[Step]:
    """What is run with a lock, each when it is asked for: the last one depends on which torch has
    come."""
    parts = lock_file.read(kind, device).parts
    strict = [*_pip(kind), "install", "--no-deps", "--require-hashes", "--only-binary", ":all:"]
    yield _environment(kind)
    for part, pins in parts.items():
        if part is Part.CUDA and not _cuda_torch(kind):
            continue
        built = (
            [word for pin in pins for word in ("--no-binary", pin.name)]
            if part is Part.SOURCE
            else []
        )
        how = ["--no-build-isolation", *built] if built else []
        file = lock_file.path(kind, device, part)
        what = f"installing {len(pins)} package{'s' * (len(pins) > 1)} of {file.name}"
        what = (
            f"looking for the CPU build of {_listed([pin.name for pin in pins])}"
            if part is Part.CPU
            else what
        )
        yield what, [*strict, *how, "--requirement", str(file)], part is not Part.CPU


def _environment(kind: EngineKind) -> Step:
    place = os.path.realpath(environments.folder(kind))  # venv refuses a symbolic link
    return "making the environment", [sys.executable, "-m", "venv", place], True


def _pip(kind: EngineKind) -> list[str]:
    return [str(environments.python(kind)), "-m", "pip", "--disable-pip-version-check"]


def _cuda_torch(kind: EngineKind) -> bool:
    """Whether the torch that was installed loads CUDA's libraries: any that does not call itself a
    CPU build."""
    found = environments.versions(environments.folder(kind)).get("torch", [])
    return not any(version.endswith("+cpu") for version in found)


def logged(command: Sequence[str], variables: dict[str, str], log: Path) -> int:
    """Run a command in this environment plus `variables`; both its streams go to the end of `log`."""
    with log.open("ab") as file:
        file.write(f"$ {' '.join(command)}\n".encode())
        file.flush()
        return subprocess.run(
            command,
            env={**os.environ, **variables},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
        ).returncode


def _listed(packages: Sequence[str], most: int = 5) -> str:
    """The packages, or the first of them and how many more."""
    rest = len(packages) - most
    return ", ".join(packages[:most]) + (f" and {rest} more" if rest > 0 else "")


def _last_words(log: Path, name: str) -> str:
    """Why a step failed, and what can be done; what pip said where neither is known."""
    try:
        lines = [
            line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines()
        ]
    except OSError:
        return "it left no log"

    def said(*signs: str) -> str:
        return next((line for line in lines if any(sign in line for sign in signs)), "")

    renew = f"the lock is renewed with `course engines lock {name}`"
    errors = [line for line in lines if line.lower().startswith(("error", "fatal"))]
    last = (errors or [line for line in lines if line] or ["it said nothing"])[-1][:200]
    if said(*FULL):
        return f"the disk is full; {environments.root()} needs some gigabytes more"
    if said(*NO_NETWORK):
        return "the package index cannot be reached; is there a network"
    if said(OTHER_FILE):
        other = next(
            (line for line in lines[lines.index(said(OTHER_FILE)) :] if "==" in line), "a package"
        )
        return (
            f"{other.split(' ')[0]} on the package index is not the file that was locked; {renew}"
        )
    return f"{last}; {renew}" if said(GONE) else last
