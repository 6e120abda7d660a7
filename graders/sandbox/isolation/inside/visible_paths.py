"""Which files a worker may see: some paths, less what is hidden below them.

Both ways of hiding, an own root (`namespaces`) and Landlock rules, are made of the same list.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True, order=True)
class Entry:
    """A real path; `whole`: with everything below it, otherwise its name (and, under Landlock, its
    listing) only."""

    path: str
    whole: bool


def entries(shown: Iterable[str], hidden: Iterable[str]) -> list[Entry]:
    """What to show, so that nothing in `hidden` is, there already or not: a folder is opened up
    only where something is hidden below it.

    Sorted, a folder before what it holds; nothing twice.
    """
    secrets = {os.path.realpath(path) for path in hidden}
    found: list[Entry] = []
    for path in sorted(set(map(os.path.realpath, shown))):
        found += _entries(path, secrets)
    wholes = {entry.path for entry in found if entry.whole}
    return [entry for entry in sorted(set(found)) if wholes.isdisjoint(_above(entry.path))]


def _above(path: str) -> Iterator[str]:
    while path != "/":
        path = os.path.dirname(path)
        yield path


def _entries(path: str, secrets: set[str]) -> Iterator[Entry]:
    if path in secrets or not os.path.exists(path):
        return
    below = path.rstrip("/") + "/"
    if not any(secret.startswith(below) for secret in secrets):
        yield Entry(path, True)
        return
    yield Entry(path, False)
    with os.scandir(path) as listing:
        for item in listing:
            if not item.is_symlink():
                yield from _entries(item.path, secrets)


def links(path: str) -> tuple[list[tuple[str, str]], str]:
    """The symbolic links on the way to `path`, as (where, target), and the real path that they lead
    to."""
    found: list[tuple[str, str]] = []
    place, rest = "/", [part for part in os.path.abspath(path).split("/") if part]
    while rest and len(found) < 40:
        step = os.path.join(place, rest.pop(0))
        if not os.path.islink(step):
            place = step
            continue
        target = os.readlink(step)
        found.append((step, target))
        whole = os.path.normpath(os.path.join(place, target, *rest))
        place, rest = "/", [part for part in whole.split("/") if part]
    return found, place
