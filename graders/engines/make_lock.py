"""Making locks: uv resolves a recipe for each minor version of Python, on paper. Needs uv and a
network."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from graders.engines import environments, lock_file
from graders.engines.catalogue import CPU, EngineKind, InstallRecipe
from graders.engines.lock_file import Lock, Part, Pin, normal

PYTHONS = ("3.11", "3.12", "3.13", "3.14")
PLATFORMS: Mapping[str, str] = {
    "linux_x86_64": "x86_64-manylinux_{}",
    "linux_aarch64": "aarch64-manylinux_{}",
}
"""What uv calls the platforms that locks can be made for; a recipe says which glibc."""
CUDA_LIBRARY = re.compile(r"(nvidia|cuda)-|triton$")


class NotLocked(Exception):
    """One sentence: what was asked of uv, and what it said."""


Resolve = Callable[[Sequence[str], Path], str]
"""Runs uv with these arguments in a folder; what it printed. Raises NotLocked."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be locked, for which class of device and platform."""

    kind: EngineKind
    device: str
    machine: str

    @property
    def recipe(self) -> InstallRecipe:
        """What the environment is made of; raises NotLocked where nobody knows."""
        plan = environments.recipe(self.kind, self.device)
        if plan.missing:
            raise NotLocked(f"{self.kind.name} has no lock for {self.device}: {plan.missing}")
        if self.machine not in PLATFORMS:
            raise NotLocked(f"locks are made for {' and '.join(PLATFORMS)}, not for {self.machine}")
        return plan


def make(
    order: Order,
    *,
    say: Callable[[str], None],
    keep: Lock | None = None,
    resolve: Resolve | None = None,
) -> Lock:
    """Resolve the recipe anew. keep: a lock whose versions have to stay; then only the hashes may
    come out otherwise.

    Python versions for which nothing fits are left out, unless it is all of them. Raises NotLocked.
    """
    found: dict[str, list[Pin]] = {}
    trouble = ""
    for python in keep.pythons if keep else PYTHONS:
        say(f"resolving {order.kind.name} for Python {python}")
        try:
            found[python] = _resolved(order, python, keep, resolve or uv)
        except NotLocked as error:
            if keep:
                raise
            trouble = trouble or str(error)
            say(f"none for Python {python}")
    if not found:
        raise NotLocked(trouble)
    return _merged(order.recipe, found)


def write(order: Order, made: Lock) -> list[Path]:
    """Put the lock where `lock.read` finds it; the files written. Parts that it no longer has are
    removed."""
    written = []
    for part in Part:
        file = lock_file.path(order.kind, order.device, part, order.machine)
        if pins := made.parts.get(part, ()):
            file.parent.mkdir(exist_ok=True)
            file.write_text(
                lock_file.text(pins, made.pythons, _comments(order, part)), encoding="utf-8"
            )
            written.append(file)
        else:
            file.unlink(missing_ok=True)
    return written


def differences(old: Lock, new: Lock) -> list[str]:
    """What has to be said of two locks, a clause a package; empty when they are the same."""
    before, after = _by_name(old), _by_name(new)
    told = []
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        was, now = (
            " and ".join(sorted({pin.version for pin in pins.get(name, ())}))
            for pins in (before, after)
        )
        told.append(
            f"{name} {was}: other files"
            if was == now
            else f"{name}: {was or 'none'}, now {now or 'none'}"
        )
    return told


def uv(arguments: Sequence[str], folder: Path) -> str:
    """Run uv without anybody's configuration."""
    beside = Path(sys.executable).with_name("uv")
    program = str(beside) if beside.exists() else shutil.which("uv")
    if program is None:
        raise NotLocked("making a lock needs uv; pip install uv")
    ended = subprocess.run(
        [program, *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode:
        said = " ".join(ended.stderr.split())
        raise NotLocked(f"uv found no set of packages: {said[:400] or 'it did not say why'}")
    return ended.stdout


def _resolved(order: Order, python: str, keep: Lock | None, resolve: Resolve) -> list[Pin]:
    """The pins for one minor version of Python."""
    plan = order.recipe
    platform = PLATFORMS[order.machine].format(plan.wheels)
    common = [
        "pip",
        "compile",
        "--no-config",
        "--quiet",
        "--no-header",
        "--format",
        "pylock.toml",
        "in.txt",
    ]
    common += ["--python-version", python, "--python-platform", platform, "--only-binary", ":all:"]
    common += ["--override", "forced.txt", "--constraint", "kept.txt"]
    common += [word for name in plan.sources for word in ("--no-binary", name)]
    kept = [f"{name}=={version}" for name, version in keep.versions(python).items()] if keep else []
    with TemporaryDirectory(prefix="course-lock-") as folder:
        place = Path(folder)
        (place / "forced.txt").write_text("\n".join(plan.forced))
        (place / "kept.txt").write_text("\n".join(kept))
        (place / "in.txt").write_text("\n".join(plan.packages))
        pins = list(_read_pylock(resolve(common, place), plan, python))
        if plan.bare:
            (place / "in.txt").write_text("\n".join(plan.bare))
            pins += _read_pylock(resolve([*common, "--no-deps"], place), plan, python)
    return pins


def _read_pylock(told: str, plan: InstallRecipe, python: str) -> Iterator[Pin]:
    """What uv found, less what must not be there."""
    out = {normal(name) for name in plan.without}
    try:
        packages: list[dict[str, Any]] = tomllib.loads(told).get("packages", [])
        for each in packages:
            name, version = str(each["name"]), str(each["version"])
            files = [each["sdist"]] if name in plan.sources else each["wheels"]
            hashes = [str(file["hashes"]["sha256"]) for file in files]
            if normal(name) not in out:
                yield Pin(name, version, tuple(hashes), (python,))
    except (tomllib.TOMLDecodeError, KeyError, TypeError) as error:
        raise NotLocked(f"uv's answer is not understood: {error!r}") from error


def _merged(plan: InstallRecipe, found: Mapping[str, Sequence[Pin]]) -> Lock:
    """One pin for each package and version, for all the Pythons that have it."""
    pythons: dict[tuple[str, str], list[str]] = defaultdict(list)
    hashes: dict[tuple[str, str], set[str]] = defaultdict(set)
    for python, pins in found.items():
        for pin in pins:
            pythons[pin.name, pin.version].append(python)
            hashes[pin.name, pin.version].update(pin.hashes)
    parts: dict[Part, list[Pin]] = defaultdict(list)
    parts[Part.CPU] = [_cpu_build(each, tuple(found)) for each in plan.cpu_builds]
    for (name, version), those in sorted(pythons.items()):
        pin = Pin(name, version, tuple(sorted(hashes[name, version])), tuple(those))
        parts[_part(name, plan)].append(pin)
    return Lock({part: tuple(parts[part]) for part in Part if parts[part]}, tuple(found))


def _cpu_build(each: str, pythons: tuple[str, ...]) -> Pin:
    """The pin of a CPU build, from `name==version+cpu sha256 …`."""
    requirement, *hashes = each.split()
    name, _, version = requirement.partition("==")
    return Pin(name, version, tuple(sorted(hashes)), pythons)


def _part(name: str, plan: InstallRecipe) -> Part:
    """Where a package belongs: CUDA's libraries are apart where a CPU build of torch does without
    them."""
    if name in plan.sources:
        return Part.SOURCE
    asked = {re.split(r"[^\w.-]", package)[0] for package in plan.packages}
    return (
        Part.CUDA
        if plan.cpu_builds and CUDA_LIBRARY.match(name) and name not in asked
        else Part.MAIN
    )


def _comments(order: Order, part: Part) -> Iterator[str]:
    yield f"{order.kind.what} for {order.device} on {order.machine}: {part}. Made, and made anew, by"
    machine = f" --platform {order.machine}" if order.machine != "linux_x86_64" else ""
    device = f" --device {order.device}" if order.device != CPU else ""
    yield f"    course engines lock {order.kind.name}{device}{machine}"
    for name, why in order.recipe.without.items() if part is Part.MAIN else ():
        yield f"without {name}: {why}"


def _by_name(found: Lock) -> dict[str, set[Pin]]:
    pins: dict[str, set[Pin]] = defaultdict(set)
    for pin in found.pins:
        pins[pin.name].add(pin)
    return pins
