"""The student kit: the course with the stubs and lessons of the chosen exercises, and no solution
that can be read."""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from course.authoring.obfuscate import obfuscate
from course.errors import Problem
from course.exercise_text.lessons import LESSON, law_table
from course.exercise_text.questions import ANSWERS
from course.exercise_text.stubs import stub
from course.nbgrader_glue import notebook
from course.workspace import installed_root
from graders.registry.catalogue import Exercise, exercises

PACKAGES = ("course", "graders", "reference_engine")
LEFT_OUT = ("__pycache__", ".*", "*.pyc", "*.egg-info")
BESIDE = ("LICENSE", "constraints.txt")


def export(folder: Path, chosen: Sequence[Exercise]) -> list[Path]:
    """Write the kit into `folder`, which must be empty or new; the stubs, lessons and notebooks,
    and the README.

    Every solution is obfuscated, those of exercises that were not chosen too: the engine runs with
    all of them. `Problem` when the folder is in use, cannot be written, or this installation lacks
    what a kit is made of.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise Problem(f"{folder} is not an empty folder; name a new one.")
    root = installed_root()
    if not (root / "pyproject.toml").is_file():
        raise Problem("a kit is made from a clone of the project; this is an installed package.")
    try:
        _packages(root, folder)
        _solutions(root, folder)
        written = _exercises(root, folder, chosen)
        written.append(_write(folder / "README.md", readme(chosen)))
        _write(
            folder / "pyproject.toml",
            _project((root / "pyproject.toml").read_text(encoding="utf-8")),
        )
    except OSError as error:
        raise Problem(f"{error.filename or folder} cannot be written: {error.strerror}.") from error
    return written


def readme(chosen: Iterable[Exercise]) -> str:
    """The kit's own front page."""
    version = ".".join(map(str, sys.version_info[:2]))
    parts = []
    for exercise in chosen:
        place = f"exercises/{exercise.slug}"
        parts += [f"## {exercise.title.capitalize()}: {exercise.name}", ""]
        parts += [
            f"The lesson is `{place}/README.md`; you write `{place}/{exercise.file_name}`, or in the notebook"
        ]
        parts += [f"`{place}/{exercise.slug}.ipynb`.", ""]
        parts += ["```", f"course check {exercise.number}", f"course hint {exercise.number}.1"]
        parts += [f"course submit {exercise.number}", "```", "", law_table(exercise), ""]
    return README.format(version=version, exercises="\n".join(parts))


README = """# Inference kitchen, student kit

Learn how the engines that serve language models work, by writing the parts that make them fast. This kit holds what you
need to write and check them on your own machine. Marks are given on another one, with the same checks.

## Set up, once

Python {version} and a package index are needed, nothing else.

```
python{version} -m venv .venv
. .venv/bin/activate
pip install -c constraints.txt -e .
course list
```

## The loop

`course check N` says which law breaks and tells the shortest story that breaks it. `course hint N.k` helps; ask again
and it says more. `course show N` draws what your part does. `course reset N` puts the stub back and keeps your file as
a backup. `course explain N` opens the questions to be answered in plain words. `course submit N` packs your part and
your answers for handing them in and says what is in the archive.

## Or in a notebook

Beside each file lies a notebook with the same lesson, one cell to write in and a cell for each law, for which you need
`pip install jupyterlab`. Use the file or the notebook, not both: `course check`, `course show` and `course submit` take
the text of the cell if you wrote there and left the file alone, else the file.

The solved parts in `solutions/` are obfuscated: the engine runs with them around your part, there is nothing to read.

{exercises}"""


def _packages(root: Path, folder: Path) -> None:
    for name in PACKAGES:
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for name in BESIDE:
        if (root / name).is_file():
            shutil.copyfile(root / name, folder / name)


def _solutions(root: Path, folder: Path) -> None:
    _write(
        folder / "solutions" / "__init__.py",
        '"""Obfuscated: parts that run and cannot be read."""\n',
    )
    for exercise in exercises():
        source = root / "solutions" / exercise.slug / exercise.file_name
        if source.is_file():
            name = f"solutions/{exercise.slug}/{exercise.file_name}"
            _write(folder / "solutions" / exercise.slug / "__init__.py", "")
            _write(folder / name, obfuscate(source.read_text(encoding="utf-8"), name))


def _exercises(root: Path, folder: Path, chosen: Iterable[Exercise]) -> list[Path]:
    """The chosen stubs and lessons, as `course init` would put them there, and both in one as
    notebooks."""
    written = [_write(folder / "exercises" / "__init__.py", '"""Yours to write in."""\n')]
    for exercise in chosen:
        name = f"solutions/{exercise.slug}/{exercise.file_name}"
        solution = (root / name).read_text(encoding="utf-8")
        place = folder / "exercises" / exercise.slug
        written.append(_write(place / exercise.file_name, stub(solution, name)))
        sheet = notebook.release(exercise, (root / name).parent)
        written.append(_write(place / f"{exercise.slug}.ipynb", notebook.text(sheet)))
        for page in (LESSON, ANSWERS):
            made = root / "exercises" / exercise.slug / page
            if made.is_file():
                written.append(_write(place / page, made.read_text(encoding="utf-8")))
    return written


def _project(text: str) -> str:
    """The project's metadata for exactly this minor version of Python, which is what the bytecode
    is made for."""
    version = ".".join(map(str, sys.version_info[:2]))
    return re.sub(
        r"^requires-python = .*$",
        f'requires-python = "=={version}.*"',
        text,
        count=1,
        flags=re.MULTILINE,
    )


def _write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path
