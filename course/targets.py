"""What a person names on the command line: an exercise ("1"), a law of it ("1.4"), a file, a source
of parts."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from course.errors import Problem
from course.exercise_text.stubs import stub
from course.workspace import Workspace, installed_root
from graders.registry.catalogue import Exercise, catalogue, exercises
from graders.registry.law import Law
from graders.registry.parts import Number, number_of, titled

NUMBERS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")


@dataclass(frozen=True, slots=True)
class Target:
    """An exercise, or one law of it."""

    exercise: Exercise
    law: Law | None


@dataclass(frozen=True, slots=True)
class Asked:
    """What a check is about: laws of one exercise, none for all of them, and the file that was
    named, if one was."""

    exercise: Exercise
    laws: tuple[Law, ...] = ()
    file: Path | None = None


def asked(typed: Sequence[str]) -> Asked:
    """Read "1", "1.2 1.5" or the path of a part. `Problem` for what is none, or of two exercises."""
    exercise: Exercise | None = None
    laws: list[Law] = []
    file: Path | None = None
    whole = False
    for word in typed:
        path = Path(word)
        if path.exists() and (found := exercise_of(path)):
            chosen, file = Target(found, None), path if path.is_file() else path / found.file_name
        elif path.exists():
            raise Problem(
                f"{word} is named like no part; say which exercise it is of: course check 1 --using {word}"
            )
        else:
            chosen = target(word)
            laws += [chosen.law] if chosen.law else []
            whole = whole or chosen.law is None
        if exercise and exercise != chosen.exercise:
            raise Problem(
                f"one exercise at a time: this names {exercise.number} and {chosen.exercise.number}."
            )
        exercise = chosen.exercise
    assert exercise is not None
    return Asked(exercise, () if whole else tuple(laws), file)


def exercise_of(path: Path) -> Exercise | None:
    """The exercise whose part, notebook or folder a path is named like, if there is one."""
    names = {path.name, path.resolve().name}
    for exercise in exercises():
        if exercise.laws and names & {exercise.slug, exercise.file_name, f"{exercise.slug}.ipynb"}:
            return exercise
    return None


def target(typed: str) -> Target:
    """Read "1" or "1.4". `Problem` naming what there is when there is no such exercise or law."""
    number, dot, law = typed.partition(".")
    if not re.fullmatch(r"(lab)?\d+", number) or (dot and not law.isdecimal()):
        meant = _meant(typed)
        advice = (
            f"did you mean {meant}?" if meant else "type 1 for exercise 1, or 1.4 for its law 4."
        )
        raise Problem(f"{typed!r} is not an exercise; {advice}")
    exercise = known(number_of(number))
    if not dot:
        return Target(exercise, None)
    if not 1 <= int(law) <= len(exercise.laws):
        raise Problem(f"{exercise.title} has no law {int(law)}; it has 1 to {len(exercise.laws)}.")
    return Target(exercise, exercise.laws[int(law) - 1])


def known(number: Number) -> Exercise:
    """The exercise of that number. `Problem` when there is none, or this version of the course has
    no laws for it."""
    numbers = [exercise.number for exercise in exercises()]
    if number not in numbers:
        raise Problem(f"there is no {titled(number)}; there are {', '.join(map(str, numbers))}.")
    exercise = catalogue(number)
    if not exercise.laws:
        raise Problem(
            f"{exercise.title} ({exercise.name}) is not in this version of the course yet."
        )
    return exercise


def _meant(typed: str) -> str:
    """The number of the exercise that a word may stand for: "three", "ex3", "prefix_cache"; "" when
    none is."""
    word = typed.lower().replace("_", " ").replace("-", " ").strip()
    if not word or not any(letter.isalpha() for letter in word):
        return ""
    for exercise in exercises():
        kind, number = exercise.title.split()
        spoken = NUMBERS[int(number) - 1]
        names = [
            exercise.name.lower(),
            exercise.slot.replace("_", " "),
            *([spoken] if kind == "exercise" else []),
        ]
        if word in names or re.fullmatch(rf"({kind}|ex) ?({number}|{spoken})( .*|[.]py)?", word):
            return str(exercise.number)
    return ""


def solution_file(exercise: Exercise) -> Path:
    """The solved module of an exercise. `Problem` when this installation lacks it."""
    path = installed_root() / "solutions" / exercise.slug / exercise.file_name
    if not path.is_file():
        raise Problem(f"the solution of {exercise.title} is not in this installation.")
    return path


def naive_file(exercise: Exercise) -> Path:
    """The part the engine starts with. `Problem` for a slot that starts empty."""
    path = installed_root() / "reference_engine" / "naive" / exercise.file_name
    if not path.is_file():
        raise Problem(
            f"there is no naive part for {exercise.title}: the engine starts without one."
        )
    return path


def stub_of(exercise: Exercise) -> str:
    """The text of the untouched stub, made afresh from the solution."""
    source = solution_file(exercise)
    return stub(
        source.read_text(encoding="utf-8"), f"solutions/{exercise.slug}/{exercise.file_name}"
    )


def learner_file(workspace: Workspace, exercise: Exercise) -> Path:
    """The learner's own file of an exercise, there or not."""
    return workspace.exercises / exercise.slug / exercise.file_name


def readable(path: Path, advice: str, shown: str = "") -> Path:
    """`path`, if it is a file that can be read; else a `Problem` that names it and ends in
    `advice`."""
    shown = shown or os.fspath(path)
    if path.is_dir():
        raise Problem(f"{shown} is a folder, not a file; {advice}")
    try:
        with path.open("rb") as file:
            file.read(1)
    except FileNotFoundError:
        raise Problem(f"there is no file {shown}; {advice}") from None
    except OSError as error:
        raise Problem(
            f"{shown} cannot be read ({os.strerror(error.errno or 0)}); {advice}"
        ) from error
    return path
