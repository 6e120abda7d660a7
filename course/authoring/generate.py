"""Exercises from solutions (stub, lesson, questions, notebook), the README's tables from races, the
check of all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from course.exercise_text.lessons import LESSON, filled, lesson
from course.exercise_text.questions import ANSWERS, answer_sheet
from course.exercise_text.stubs import stub
from course.nbgrader_glue import notebook
from course.race import readme_table
from graders.registry.catalogue import Exercise, exercises


@dataclass(frozen=True, slots=True)
class Generated:
    """A file to be written: its path under the project's root and its whole text."""

    path: Path
    text: str


def generate(root: Path) -> list[Generated]:
    """Every generated file of the project at `root`; exercises whose solution is not there are left
    out.

    Raises `stubs.BadMarkers` and SyntaxError for a solution that no stub can be made of.
    """
    files: list[Generated] = []
    for exercise in exercises():
        if (root / "solutions" / exercise.slug / exercise.file_name).is_file():
            files += _files_of(root, exercise)
    readme = root / LESSON
    if readme.is_file():
        files.append(
            Generated(Path(LESSON), readme_table.fill(readme.read_text(encoding="utf-8"), root))
        )
    return files


def stale(root: Path) -> list[Path]:
    """The generated files that differ from what `generate` would write now, as paths under `root`."""
    return [file.path for file in generate(root) if not _same(root / file.path, file.text)]


def write(root: Path) -> list[Path]:
    """Write the generated files that changed; returns their paths under `root`."""
    changed = stale(root)
    for file in generate(root):
        if file.path in changed:
            (root / file.path).parent.mkdir(parents=True, exist_ok=True)
            (root / file.path).write_text(file.text, encoding="utf-8")
    return changed


def _files_of(root: Path, exercise: Exercise) -> Iterator[Generated]:
    source = Path("solutions", exercise.slug, exercise.file_name)
    solution = (root / source).read_text(encoding="utf-8")
    yield Generated(
        Path("exercises", exercise.slug, exercise.file_name), stub(solution, source.as_posix())
    )
    source = Path("solutions", exercise.slug, LESSON)
    if (root / source).is_file():
        home = root / "solutions" / exercise.slug
        text = filled((root / source).read_text(encoding="utf-8"), exercise, home)
        yield Generated(source, text)
        yield Generated(Path("exercises", exercise.slug, LESSON), lesson(text, source.as_posix()))
        if sheet := answer_sheet(exercise, home):
            yield Generated(Path("exercises", exercise.slug, ANSWERS), sheet)
        made = notebook.text(notebook.release(exercise, home))
        yield Generated(Path("exercises", exercise.slug, f"{exercise.slug}.ipynb"), made)


def _same(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text
