"""Submissions a minute: nbgrader's stock autograde, the same command with our preprocessors, and
the bulk path.

    python -m course.nbgrader_glue.benchmark [--exercise N] [--students N] [--full]

All three grade the same notebooks (solutions, stubs and parts that stop in the middle, in turn) by
the same laws. The stock autograder executes the law cells, each of which checks its law; ours
judges the part once.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from course.nbgrader_glue import course_folder, notebook
from course.nbgrader_glue.settings import CONFIG
from course.nbgrader_glue.write_outputs import grade_id
from course.workspace import installed_root
from graders.registry.catalogue import Exercise, catalogue, exercises
from graders.registry.law import Law

STOCK = """
FIRST = "ClearOutput DeduplicateIds OverwriteKernelspec OverwriteCells CheckCellMetadata"
THEN = "Execute IgnorePattern LimitOutput SaveAutoGrades AssignLatePenalties CheckCellMetadata"
c.Autograde.sanitize_preprocessors = ["nbgrader.preprocessors." + name for name in FIRST.split()]
c.Autograde.autograde_preprocessors = ["nbgrader.preprocessors." + name for name in THEN.split()]
c.Execute.timeout = 600
"""


@dataclass(frozen=True, slots=True)
class Timing:
    """One way of grading. `checks`: the seconds that the judging itself took, where that is known."""

    name: str
    submissions: int
    seconds: float
    checks: float | None = None

    @property
    def per_minute(self) -> float:
        return 60 * self.submissions / self.seconds

    @property
    def beyond(self) -> float | None:
        """Seconds a submission beyond the checks."""
        return None if self.checks is None else (self.seconds - self.checks) / self.submissions


def bench(exercise: Exercise, students: int, folder: Path, laws: tuple[Law, ...]) -> list[Timing]:
    """Grade a class of `students` in three ways, each in a course of its own below `folder`."""
    ways: list[tuple[str, Callable[[Path, Exercise], float | None]]] = [
        ("nbgrader autograde, stock", _stock),
        ("nbgrader autograde, CourseGrade", _ours),
        ("bulk: judge, then commit", _bulk),
    ]
    found = []
    for name, way in ways:
        home = _class_of(exercise, students, folder / name.replace(" ", "-").replace(",", ""), laws)
        start = time.monotonic()
        checks = way(home, exercise)
        found.append(Timing(name, students, time.monotonic() - start, checks))
    return found


def _class_of(exercise: Exercise, students: int, home: Path, laws: tuple[Law, ...]) -> Path:
    course_folder.make(home, [exercise], "bench")
    with (home / CONFIG).open("a", encoding="utf-8") as config:
        config.write(f"\nc.CourseGrade.laws_only = {len(laws) < len(exercise.laws)}\n")
    source = home / "source" / exercise.slug / f"{exercise.slug}.ipynb"
    names = {notebook.law_id(law.number) for law in laws}
    sheet = notebook.source(exercise)
    sheet["cells"] = [cell for cell in sheet["cells"] if not _is_other_law(cell, names)]
    source.write_text(notebook.text(sheet), encoding="utf-8")
    _nbgrader(home, "generate_assignment", exercise.slug)
    released = json.loads(
        (home / "release" / exercise.slug / source.name).read_text(encoding="utf-8")
    )
    for number in range(students):
        target = home / "submitted" / f"student{number:04}" / exercise.slug
        target.mkdir(parents=True)
        text = json.dumps(_handed_in(released, sheet, exercise, number))
        (target / source.name).write_text(text, encoding="utf-8")
    return home


def _is_other_law(cell: dict[str, Any], names: set[str]) -> bool:
    return grade_id(cell).startswith("law-") and grade_id(cell) not in names


def _handed_in(
    released: dict[str, Any], solved: dict[str, Any], exercise: Exercise, number: int
) -> dict[str, Any]:
    """A notebook of the class: solved, untouched, or cut off after the first third, in turn."""
    sheet: dict[str, Any] = json.loads(json.dumps(released))
    code = next(cell["source"] for cell in solved["cells"] if grade_id(cell) == exercise.slot)
    cell = next(cell for cell in sheet["cells"] if grade_id(cell) == exercise.slot)
    if number % 3 == 0:
        cell["source"] = code
    elif number % 3 == 2:
        cell["source"] = code.replace(
            "### END SOLUTION", "raise KeyError(0)\n        ### END SOLUTION", 1
        )
    return sheet


def _stock(home: Path, exercise: Exercise) -> None:
    with (home / CONFIG).open("a", encoding="utf-8") as config:
        config.write(STOCK)
    _nbgrader(home, "autograde", exercise.slug)


def _ours(home: Path, exercise: Exercise) -> None:
    _nbgrader(home, "autograde", exercise.slug)


def _bulk(home: Path, exercise: Exercise) -> float:
    """Judge every notebook in this process, one after the other, and commit them all; the seconds
    spent judging."""
    from course.nbgrader_glue.grade_cell import GradingTerms, judge
    from course.nbgrader_glue.gradebook import commit, expect
    from graders.reports.row import Row

    laws_only = "laws_only = True\n" in (home / CONFIG).read_text(encoding="utf-8")
    expect(home)
    rows, checks = [], 0.0
    for path in sorted(home.glob(f"submitted/*/{exercise.slug}/*.ipynb")):
        cells = json.loads(path.read_text(encoding="utf-8"))["cells"]
        text = "".join(next(cell["source"] for cell in cells if grade_id(cell) == exercise.slot))
        start = time.monotonic()
        result = judge(exercise, text.encode(), GradingTerms(salt=1, laws_only=laws_only))
        checks += time.monotonic() - start
        rows.append(
            Row(path.parts[-3], exercise.number, result, str(path), notebook=(str(path), ""))
        )
    done = commit(home, rows)
    if done.refused:
        raise SystemExit(f"not committed: {done.refused[0].reason}")
    return checks


def _nbgrader(home: Path, *words: str) -> None:
    paths = {"PYTHONPATH": str(installed_root()), "JUPYTER_CONFIG_DIR": str(home / ".jupyter")}
    paths["PATH"] = os.pathsep.join([os.path.dirname(sys.executable), os.environ.get("PATH", "")])
    order = [sys.executable, "-m", "nbgrader", *words]
    run = subprocess.run(
        order, cwd=home, env={**os.environ, **paths}, capture_output=True, text=True, check=False
    )
    if run.returncode:
        raise SystemExit(f"nbgrader {' '.join(words)} failed:\n{run.stderr[-2000:]}")


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument(
        "--exercise", type=int, default=3, choices=[exercise.number for exercise in exercises()]
    )
    parser.add_argument("--students", type=int, default=12)
    parser.add_argument("--full", action="store_true", help="the timed laws too")
    options = parser.parse_args()
    exercise = catalogue(options.exercise)
    laws = tuple(law for law in exercise.laws if options.full or law.kind != "throughput")
    folder = Path(tempfile.mkdtemp(prefix="course-bench-"))
    try:
        found = bench(exercise, options.students, folder, laws)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(
        f"exercise {exercise.number}, {options.students} submissions, {len(laws)} laws, {os.cpu_count()} cores"
    )
    for timing in found:
        beyond = (
            ""
            if timing.beyond is None
            else f"   {timing.beyond:.3f} s a submission beyond the checks"
        )
        print(
            f"{timing.name:<34} {timing.seconds:7.1f} s   {timing.per_minute:7.1f} submissions a minute{beyond}"
        )


if __name__ == "__main__":
    main()
