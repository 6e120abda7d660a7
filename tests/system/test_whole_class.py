"""A class in which everything arrives that people hand in: the same points through nbgrader, a
batch and the bundle.

Which file is judged and where the points go is looked at here, not how parts are judged: a cheap
judge gives points.
"""

from __future__ import annotations

import csv
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import cheap_judge
import hand_ins
import pytest
from conftest import Type
from hand_ins import EXERCISE, OPEN, SLUG, STUB, Case

pytest.importorskip("nbgrader")

from nbgrader.api import Gradebook, MissingEntry
from wrong_parts import wrong_part

from course.authoring import bundle
from course.nbgrader_glue import course_folder, intake
from course.nbgrader_glue.notebook import law_id, question_id
from course.targets import solution_file
from course.workspace import installed_root
from graders.batch.regrade import with_dependents
from graders.registry.law import Law
from graders.result import LawResult, Outcome
from graders.submissions.source import decode

pytestmark = pytest.mark.slow

NAMES = ("josé", "O'Brien, Jr", "1001", "10011", "名前", "ada@example.org", "de la Cruz", "a.b")
GOOD = solution_file(EXERCISE).read_text(encoding="utf-8")
EVERY = list(hand_ins.cases(GOOD, wrong_part(3, "match_stores").text))
CASES = dict(zip([*NAMES, *(f"s{number:02}" for number in range(len(EVERY)))], EVERY, strict=False))
NOTHING = next(student for student, case in CASES.items() if case.name == "nothing")
LINKED = next(student for student, case in CASES.items() if case.name == "link")
Points = dict[str, float | None]


def expected(case: Case) -> float | None:
    """What the text gets, none where a person has to look or nothing came, zero for tampering."""
    if case.part is None:
        return 0.0 if case.blame == "invalid" else None
    return (
        0.0
        if case.part in (OPEN, STUB)
        else cheap_judge.points(3, decode("part", case.part.encode()))
    )


WANTED = {student: expected(case) for student, case in CASES.items()}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An nbgrader course, its roster imported, and all that was handed in."""
    home = tmp_path_factory.mktemp("class") / "class"
    course_folder.make(home, [EXERCISE], "whole")
    with (home / "nbgrader_config.py").open("a") as config:
        config.write("c.CourseGrade.laws_only = True\n")  # what is timed is not equal twice
    quoted = [f'"{student}"' for student in (*CASES, "absent")]
    (home / "students.csv").write_text("\n".join(["id", *quoted]), encoding="utf-8")
    for student, case in CASES.items():
        (home / "submitted" / student / SLUG).mkdir(parents=True)
        case.write(home / "submitted" / student / SLUG)
    for order in (("db", "student", "import", "students.csv"), ("generate_assignment", SLUG)):
        assert nbgrader(home, *order)[0] == 0
    return home


@pytest.fixture(autouse=True)
def cheaply(monkeypatch: pytest.MonkeyPatch) -> None:
    cheap_judge.in_this_process(monkeypatch)


def nbgrader(home: Path, *words: str) -> tuple[int, str]:
    private = {
        f"JUPYTER_{name}_DIR": str(home / ".jupyter" / name)
        for name in ("CONFIG", "DATA", "RUNTIME")
    }
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    paths = os.pathsep.join(map(str, (cheap_judge.HOME, installed_root())))
    environment = {**os.environ, **private, "PYTHONPATH": paths, "PATH": path}
    order = [sys.executable, "-m", "nbgrader", *words]
    run = subprocess.run(
        order, cwd=home, env=environment, capture_output=True, text=True, check=False
    )
    return run.returncode, run.stdout + run.stderr


def in_gradebook(home: Path) -> Points:
    """The points of everybody for the laws, as far as each has some."""
    found: Points = {}
    with Gradebook(f"sqlite:///{home}/gradebook.db") as book:
        for student in CASES:
            try:
                grades = book.find_submission_notebook(SLUG, SLUG, student).grades
            except MissingEntry:
                found[student] = None
                continue
            laws = [grade.auto_score for grade in grades if grade.name.startswith("law-")]
            scored = [score for score in laws if score is not None]
            found[student] = sum(scored) if scored else None
    return {**found, NOTHING: None}  # a zero for some, for others no entry at all


def lost_answers(home: Path) -> Iterator[str]:
    """The cases in which a person would not find the answer that was handed in."""
    for student, case in CASES.items():
        sheet = home / "autograded" / student / SLUG / f"{SLUG}.ipynb"
        if case.answer and intake.answers(sheet).get(question_id(3, 0)) != case.answer:
            yield case.name


def different(found: Points) -> dict[str, tuple[float | None, float | None]]:
    """By case: the points that it got, and those that it should have got."""
    return {
        CASES[who].name: (found[who], wanted)
        for who, wanted in WANTED.items()
        if found[who] != wanted
    }


def test_a_dry_run_names_everybody(home: Path, course: Type) -> None:
    dry = course(
        "grade", str(home / "submitted"), "--exercise", "3", "--nbgrader", str(home), "--dry-run"
    )
    assert dry.code == 0, dry.err
    assert "Nothing of 1: absent" in dry.out
    assert f"{len(CASES)} parts of {len(CASES)} students" in dry.out


def test_a_batch_gives_everybody_their_points(home: Path, course: Type) -> None:
    order = ("--exercise", "3", "--laws-only", "--nbgrader", str(home))
    said = course("grade", str(home / "submitted"), *order)
    assert said.code == 3, said.err  # some need a person
    assert "not entered" not in said.err
    assert different(in_gradebook(home)) == {}
    assert list(lost_answers(home)) == []


def test_nbgrader_gives_everybody_the_same_points(home: Path) -> None:
    code, log = nbgrader(home, "autograde", SLUG, "--force")
    failed = re.findall(r"error processing assignment '\S+' for student '(.*)'", log)
    assert (code, failed) == (1, [LINKED]), log  # a link is refused before anything of it is opened
    assert different({**in_gradebook(home), LINKED: 0.0}) == {}
    assert list(lost_answers(home)) == []


def test_a_batch_after_nbgrader_changes_nothing(home: Path, course: Type) -> None:
    order = (
        "--exercise",
        "3",
        "--laws-only",
        "--nbgrader",
        str(home),
        "--diff",
        "--journal",
        str(home.parent / "new"),
    )
    assert (
        "0 scores of 0 students would change"
        in course("grade", str(home / "submitted"), *order).out
    )


def test_a_regrade_enters_the_chosen_law_alone_and_the_log_says_why(
    home: Path, course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    def holds(law: Law, text: str) -> LawResult:
        return LawResult(law.number, law.name, law.statement, Outcome.PASS, law.points, law.points)

    monkeypatch.setattr(cheap_judge, "_decided", holds)
    number = [law.number for law in EXERCISE.laws if law.kind == "unit"][-1]
    before = laws_in(home)
    order = (
        "--laws-only",
        "--nbgrader",
        str(home),
        "--regrade",
        number,
        "--why",
        "the disk was full",
    )
    said = course("grade", str(home / "submitted"), *order)
    after = laws_in(home)
    changed = {cell for cell in before.keys() | after.keys() if before.get(cell) != after.get(cell)}
    assert changed and {law for _, law in changed} <= set(map(law_id, with_dependents([number]))), (
        said.out + said.err
    )
    with (home / "score_changes.csv").open(encoding="utf-8", newline="") as file:
        why = [
            (row["student"], row["cell"])
            for row in csv.DictReader(file)
            if "the disk was full" in row["why"]
        ]
    assert len(why) == len(changed)


def laws_in(home: Path) -> dict[tuple[str, str], float | None]:
    with Gradebook(f"sqlite:///{home}/gradebook.db") as book:
        every = book.notebook_submissions(SLUG, SLUG)
        return {
            (each.student.id, grade.name): grade.auto_score
            for each in every
            for grade in each.grades
        }


def test_the_bundle_gives_everybody_the_same_points(
    home: Path, course: Type, tmp_path: Path
) -> None:
    options = re.search(r"--one (.*) --journal", bundle.run_script(EXERCISE, laws_only=True))
    assert options is not None
    found: Points = {}
    for student in CASES:
        report = tmp_path / "results.json"
        typed = ("--one", *options[1].split(), "--format", f"gradescope={report}")
        course("grade", str(home / "submitted" / student / SLUG), *typed)
        found[student] = json.loads(report.read_text()).get("score")
    assert found[NOTHING] == 0.0
    assert different({**found, NOTHING: None}) == {}


def test_the_class_in_one_archive_gives_everybody_the_same_points(
    home: Path, course: Type, tmp_path: Path
) -> None:
    special = {
        student for student, case in CASES.items() if case.name in ("link", "named pipe", "nothing")
    }
    special |= {
        student
        for student, case in CASES.items()
        if case.name.startswith(("unseen", "folder in place"))
    }
    with zipfile.ZipFile(tmp_path / "class.zip", "w") as packed:
        for student in CASES.keys() - special:
            folder = home / "submitted" / student / SLUG
            for path in (path for path in folder.rglob("*") if path.is_file()):
                packed.write(path, f"class/{student}/{path.relative_to(folder)}")
    rows = tmp_path / "rows.json"
    order = (
        "--exercise",
        "3",
        "--laws-only",
        "--roster",
        str(home / "students.csv"),
        "--format",
        f"json={rows}",
    )
    course("grade", str(tmp_path / "class.zip"), *order)
    judged = {row["student"]: row for row in json.loads(rows.read_text())["rows"]}
    assert judged.keys() == CASES.keys() - special
    found = {
        who: row["result"]["points"] if row["state"] != "needs a person" else None
        for who, row in judged.items()
    }
    assert different({**WANTED, **found}) == {}
