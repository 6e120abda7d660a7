"""A class that hands in: right parts, wrong ones, stubs, hostile ones, and everything that can be
wrong with a file.

Every submission comes with the verdict that it must get.
"""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from hostile.suite import whole
from wrong_parts import wrong_parts

from course.authoring.mutant_files import Mutant
from course.targets import solution_file, stub_of
from graders.registry.catalogue import catalogue

TESTS = Path(__file__).parents[1]
FILE = {1: "block_manager.py", 2: "scheduler.py", 3: "prefix_cache.py"}
CELL = {1: "block_manager", 2: "scheduler", 3: "prefix_cache"}


@dataclass(frozen=True, slots=True)
class Pupil:
    """What a student hands in for one exercise, and what must come of it: an outcome and words of
    the verdict."""

    name: str
    exercise: int
    outcome: str
    write: Callable[[Path], None]
    says: str = ""


def enrol(folder: Path, pupils: list[Pupil]) -> dict[tuple[str, int], Pupil]:
    """Write what everybody hands in into `folder`; the expectations by (student, exercise)."""
    folder.mkdir(parents=True, exist_ok=True)
    for pupil in pupils:
        home = folder / pupil.name
        home.mkdir()
        pupil.write(home)
    return {(pupil.name, pupil.exercise): pupil for pupil in pupils}


def right(exercise: int, name: str, remark: str) -> Pupil:
    """The solution, told apart by a remark."""
    text = f"{solution_file(catalogue(exercise)).read_text()}\n# {remark}\n"
    return Pupil(name, exercise, "pass", lambda home: _text(home / FILE[exercise], text))


def stub(exercise: int, name: str, remark: str) -> Pupil:
    text = f"{stub_of(catalogue(exercise))}\n# {remark}\n"
    return Pupil(
        name, exercise, "fail", lambda home: _text(home / FILE[exercise], text), "untouched stub"
    )


def wrong(name: str, part: Mutant, remark: str) -> Pupil:
    text = f"{part.text}\n# {remark}\n"
    return Pupil(name, part.exercise, "fail", lambda home: _text(home / FILE[part.exercise], text))


def syntax_error(exercise: int, name: str, remark: str) -> Pupil:
    text = f"# {remark}\nclass X(:\n"
    return Pupil(
        name,
        exercise,
        "fail",
        lambda home: _text(home / FILE[exercise], text),
        "syntax error in line 2",
    )


def hostile(name: str, attack: str, outcome: str, remark: str) -> Pupil:
    text = whole((TESTS / "hostile" / "attacks" / f"{attack}.py").read_text(encoding="utf-8"))
    return Pupil(name, 1, outcome, lambda home: _text(home / FILE[1], f"{text}\n# {remark}\n"))


def notebook(
    exercise: int, name: str, source: str, outcome: str, says: str = "", cell: str = ""
) -> Pupil:
    """A notebook whose solution cell holds `source`."""
    cells = [_cell("introduction", "import os"), _cell(cell or CELL[exercise], source)]
    return Pupil(name, exercise, outcome, lambda home: _notebook(home / "work.ipynb", cells), says)


def archive(exercise: int, name: str, text: str, outcome: str, says: str = "") -> Pupil:
    def write(home: Path) -> None:
        with zipfile.ZipFile(home / "work.zip", "w") as file:
            file.writestr(f"mine/{FILE[exercise]}", text)

    return Pupil(name, exercise, outcome, write, says)


def broken_inputs(exercise: int) -> Iterator[Pupil]:
    """Whatever can be wrong with what was handed in. Each is a row that says so."""
    cell, file = CELL[exercise], FILE[exercise]

    def bad(name: str, says: str, write: Callable[[Path], None], outcome: str = "fail") -> Pupil:
        return Pupil(name, exercise, outcome, write, says)

    def doubt(name: str, says: str, write: Callable[[Path], None]) -> Pupil:
        """A person has to look at it."""
        return bad(name, says, write, "ungraded")

    yield bad("empty folder", "nothing was handed in", lambda home: None)
    yield bad(
        "no notebook",
        "not a notebook that can be read",
        lambda home: _text(home / f"{cell}.ipynb", "no json"),
        "ungraded",
    )
    yield bad(
        "old notebook", "defines no class", lambda home: _text(home / f"{cell}.ipynb", _old(cell))
    )
    yield doubt("cell gone", "was deleted", lambda home: _notebook(home / f"{cell}.ipynb", []))
    twice = [_cell(cell, "1"), _cell(cell, "2")]
    yield bad(
        "cell twice", "defines no class", lambda home: _notebook(home / f"{cell}.ipynb", twice)
    )
    yield doubt("100 MB", "too large", lambda home: _large(home / f"{cell}.ipynb", 100 << 20))
    yield bad(
        "no archive",
        "no readable zip archive",
        lambda home: _text(home / f"{cell}.zip", "PK and no more"),
        "ungraded",
    )
    yield doubt("binary", "not UTF-8", lambda home: _bytes(home / file, b"x = 1\n\xff\xfe\xfa"))
    yield doubt("folder", "is a folder, not a file", lambda home: (home / file).mkdir())
    yield doubt("pipe", "is a named pipe", lambda home: os.mkfifo(home / file))
    yield bad(
        "link",
        "is a symbolic link",
        lambda home: (home / file).symlink_to("/etc/hostname"),
        "invalid",
    )
    yield doubt("nothing in it", "is empty", lambda home: _text(home / file, ""))
    yield bad(
        'qu"ote',
        "untouched stub",
        lambda home: _text(home / file, stub_of(catalogue(exercise)) + "\n# q"),
    )
    yield bad(
        "=1+1",
        "untouched stub",
        lambda home: _text(home / file, stub_of(catalogue(exercise)) + "\n# f"),
    )
    yield bad(
        "new\nline",
        "untouched stub",
        lambda home: _text(home / file, stub_of(catalogue(exercise)) + "\n# n"),
    )
    yield bad(
        "Ωмега 你好",
        "untouched stub",
        lambda home: _text(home / file, stub_of(catalogue(exercise)) + "\n# o"),
    )
    yield bad(
        "no\udcffutf8",
        "untouched stub",
        lambda home: _text(home / file, stub_of(catalogue(exercise)) + "\n# u"),
    )


def _text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def _bytes(path: Path, data: bytes) -> None:
    path.write_bytes(data)


def _large(path: Path, size: int) -> None:
    with path.open("wb") as file:
        file.write(b'{"cells": [')
        file.truncate(size)


def _cell(grade_id: str, source: str) -> dict[str, object]:
    return {
        "cell_type": "code",
        "execution_count": None,
        "metadata": {"nbgrader": {"grade_id": grade_id, "solution": True}},
        "outputs": [],
        "source": source,
    }


def _notebook(path: Path, cells: list[dict[str, object]]) -> None:
    path.write_text(
        json.dumps({"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}),
        encoding="utf-8",
    )


def _old(name: str) -> str:
    """A notebook of format 3, whose cells lie in worksheets."""
    cell = {"cell_type": "code", "input": "x = 1", "language": "python", "outputs": []}
    cells = [cell | {"metadata": {"nbgrader": {"grade_id": name}}}]
    return json.dumps(
        {"worksheets": [{"cells": cells}], "metadata": {}, "nbformat": 3, "nbformat_minor": 0}
    )


GENTLE = (
    "os_exit_at_import",
    "exit_at_import",
    "kills_itself",
    "segmentation_fault",
    "imports_the_solution",
    "returns_bytes",
)  # attacks that are over at once
CRASH = {
    "os_exit_at_import": "crash",
    "exit_at_import": "crash",
    "kills_itself": "crash",
    "segmentation_fault": "crash",
}


def classes(size: int) -> list[Pupil]:
    """A class of `size`, as classes are: mostly stubs and near misses, some right, some hostile,
    some broken files."""
    wrong_ones = [
        part
        for part in wrong_parts(3)
        if part.name.startswith(("match_", "evict_", "insert_", "lock", "un"))
    ]
    makers: list[Callable[[int], Pupil]] = [
        lambda n: stub(3, f"stub {n}", f"{n}"),
        lambda n: stub(1, f"stub {n}", f"{n}"),
        lambda n: syntax_error(3, f"typo {n}", f"{n}"),
        lambda n: wrong(f"wrong {n}", wrong_ones[n % len(wrong_ones)], f"{n}"),
        lambda n: wrong(f"wrong {n}", wrong_ones[n % len(wrong_ones)], f"{n}"),
        lambda n: hostile(
            f"hostile {n}",
            GENTLE[n % len(GENTLE)],
            CRASH.get(GENTLE[n % len(GENTLE)], "bad"),
            f"{n}",
        ),
        lambda n: notebook(
            3, f"notebook {n}", f"{stub_of(catalogue(3))}\n# {n}", "fail", "untouched stub"
        ),
        lambda n: archive(3, f"archive {n}", f"nothing = {n}", "fail", "defines no class"),
    ]
    found = [right(3, f"right {n}", f"{n}") for n in range(size // 50)]
    found += list(broken_inputs(3))[: size // 4]
    return found + [makers[n % len(makers)](n) for n in range(size - len(found))]


def unexpected(pupil: Pupil, outcomes: set[str], verdict: str) -> str:
    """How what came of a submission differs from what must; empty when it does not. "bad": anything
    but a pass."""
    if pupil.outcome == "bad":
        good = not outcomes <= {"pass", "skipped"} and "ungraded" not in outcomes
    else:
        good = pupil.outcome in outcomes and not (pupil.outcome == "pass" and outcomes != {"pass"})
    if not good:
        return (
            f"{pupil.name!r}: {', '.join(sorted(outcomes))} instead of {pupil.outcome}: {verdict}"
        )
    return "" if pupil.says in verdict else f"{pupil.name!r}: says {verdict!r}, not {pupil.says!r}"
