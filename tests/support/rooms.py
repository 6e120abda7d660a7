"""Which tests belong to a room of the house, and which rooms a change touches.

    python tests/support/rooms.py graders/batch            the tests of that room, as arguments for pytest
    python tests/support/rooms.py --changed [--base main]  those of every room that differs from `main`, edits included

`tests/unit` mirrors the packages. A room without a folder of its own there has the files that begin
with its name (`reference_engine/gpu`: test_gpu_*.py), and failing that the tests of the room around
it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = ("reference_engine", "graders", "course")
PAGES = ("unit/test_pages.py",)
PROVEN = ("unit/graders/exercises",)  # what solutions, right parts and wrong parts are tested by
ELSEWHERE = {
    "solutions": (*PROVEN, "unit/course/test_generate.py"),
    "exercises": ("unit/course/test_generate.py",),
    "tests/mutants": PROVEN,
    "tests/bases": PROVEN,
    "tests/hostile": ("system/test_hostile.py",),
    "tests/support/rooms.py": ("unit/test_rooms.py",),
    "Makefile": ("unit/test_rooms.py",),
    ".github": ("system/test_actions.py",),
    "docs": PAGES,
}
"""Tests of what is in no package, by how its path begins."""


def tests_of(path: str, tests: Path) -> list[Path]:
    """The tests of a room ("graders/batch") or a file, below the folder `tests`; nothing for what
    has none."""
    parts = Path(path).parts
    if parts[:1] == ("tests",) and Path(path).name.startswith("test_"):
        return _there([tests.joinpath(*parts[1:])])
    if parts and parts[0] in PACKAGES:
        return _mirrored(parts, tests / "unit")
    found = [
        name
        for start, names in ELSEWHERE.items()
        if Path(path).is_relative_to(start)
        for name in names
    ]
    return _there(tests / name for name in (*found, *(PAGES if path.endswith(".md") else ())))


def _mirrored(parts: tuple[str, ...], folder: Path) -> list[Path]:
    for part in parts:
        if not (folder / part).is_dir():
            named = (
                sorted(folder.glob(f"test_{Path(part).stem}*.py")) if part != "__init__.py" else []
            )
            return named or _there([folder])
        folder = folder / part
    return [folder]


def _there(paths: Iterable[Path]) -> list[Path]:
    return [path for path in dict.fromkeys(paths) if path.exists()]


def touched(files: Iterable[str], tests: Path) -> list[Path]:
    """The tests of all these files, each once, none that lies in a folder which is there as a
    whole."""
    found = {path for file in files for path in tests_of(file, tests)}
    return sorted(path for path in found if not any(parent in found for parent in path.parents))


def changed(root: Path, base: str) -> list[str]:
    """Files that differ from where the branch left `base`: committed, edited, new. Without it:
    those uncommitted."""
    known = _git(root, "rev-parse", "--verify", "--quiet", base)
    committed = _git(root, "diff", "--name-only", f"{base}...HEAD") if known else []
    return sorted(
        {
            *committed,
            *_git(root, "diff", "--name-only", "HEAD"),
            *_git(root, "ls-files", "-o", "--exclude-standard"),
        }
    )


def _git(root: Path, *words: str) -> list[str]:
    done = subprocess.run(
        ["git", "-C", str(root), *words], capture_output=True, text=True, check=False
    )
    return done.stdout.splitlines() if done.returncode == 0 else []


def _refuse(sentence: str) -> int:
    print(sentence, file=sys.stderr)
    return 2


def main(words: list[str]) -> int:
    """Print the tests, one a line. 2 when there is no such room, or none of its tests."""
    parser = argparse.ArgumentParser(description="Which tests belong to a room.")
    parser.add_argument("room", nargs="?")
    parser.add_argument("--changed", action="store_true")
    parser.add_argument("--base", default="main")
    asked = parser.parse_args(words)
    if asked.changed:
        found = touched(changed(ROOT, asked.base), ROOT / "tests")
    elif not asked.room or not (ROOT / asked.room).exists():
        return _refuse(f"There is no room {asked.room!r}; name a folder such as graders/batch.")
    elif not (found := tests_of(asked.room.rstrip("/"), ROOT / "tests")):
        return _refuse(
            f"{asked.room} has no tests of its own; name a folder such as graders/batch."
        )
    print("\n".join(str(path.relative_to(ROOT)) for path in found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
