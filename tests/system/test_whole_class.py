"""A class in which everything arrives that people hand in: the same points through nbgrader, a batch and the bundle."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import hand_ins
import pytest
from conftest import Type
from hand_ins import EXERCISE, SLUG, Case

pytest.importorskip("nbgrader")

from nbgrader.api import Gradebook, MissingEntry
from wrong_parts import wrong_part

from course.nbgrader_glue import course_folder
from course.targets import solution_file
from course.workspace import installed_root

pytestmark = pytest.mark.slow

GOOD = solution_file(EXERCISE).read_text(encoding="utf-8")
CASES = {f"s{number:02}": case for number, case in enumerate(hand_ins.cases(GOOD, wrong_part(3, "match_stores").text))}
FULL = sum(law.points for law in EXERCISE.laws if law.kind != "throughput")
Points = dict[str, float | None]


def expected(case: Case) -> float | None:
    """Full points for the right part, none where a person has to look or nothing came, zero for tampering."""
    if case.part is not None:
        return FULL
    return 0.0 if case.blame == "invalid" else None


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An nbgrader course, its roster imported, and all that was handed in."""
    home = tmp_path_factory.mktemp("class") / "class"
    course_folder.make(home, [EXERCISE], "whole")
    with (home / "nbgrader_config.py").open("a") as config:
        config.write("c.CourseGrade.laws_only = True\n")  # what is timed is not equal twice
    (home / "students.csv").write_text("\n".join(["id", *CASES, "absent"]))
    for student, case in CASES.items():
        (home / "submitted" / student / SLUG).mkdir(parents=True)
        case.write(home / "submitted" / student / SLUG)
    for order in (("db", "student", "import", "students.csv"), ("generate_assignment", SLUG)):
        assert nbgrader(home, *order)[0] == 0
    return home


def nbgrader(home: Path, *words: str) -> tuple[int, str]:
    private = {f"JUPYTER_{name}_DIR": str(home / ".jupyter" / name) for name in ("CONFIG", "DATA", "RUNTIME")}
    path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
    environment = {**os.environ, **private, "PYTHONPATH": str(installed_root()), "PATH": path}
    order = [sys.executable, "-m", "nbgrader", *words]
    run = subprocess.run(order, cwd=home, env=environment, capture_output=True, text=True, check=False)
    return run.returncode, run.stdout + run.stderr


def in_gradebook(home: Path) -> Points:
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
    return found


def test_every_hand_in_gets_the_same_points_on_all_ways(home: Path, course: Type, tmp_path: Path) -> None:
    wanted = {student: expected(case) for student, case in CASES.items()}
    dry = course("grade", str(home / "submitted"), "--exercise", "3", "--nbgrader", str(home), "--dry-run")
    assert dry.code == 0, dry.err
    assert "Nothing of 1: absent" in dry.out

    batch = tmp_path / "rows.json"
    order = ("--exercise", "3", "--laws-only", "--nbgrader", str(home), "--format", f"json={batch}")
    said = course("grade", str(home / "submitted"), *order)
    assert said.code == 3, said.err  # some need a person
    entered = in_gradebook(home)
    nothing = next(student for student, case in CASES.items() if case.name == "nothing")
    assert {**entered, nothing: None} == wanted

    code, log = nbgrader(home, "autograde", SLUG, "--force")
    linked = next(student for student, case in CASES.items() if case.name == "link")
    failed = re.findall(r"error processing assignment '\S+' for student '(.*)'", log)
    assert (code, failed) == (1, [linked]), log  # a link is refused before anything of it is opened
    assert {**in_gradebook(home), nothing: None, linked: 0.0} == wanted

    for student in CASES:
        report = tmp_path / f"{student}.json"
        options = ("--one", "--exercise", "3", "--laws-only", "--format", f"gradescope={report}")
        course("grade", str(home / "submitted" / student / SLUG), *options)
        score = json.loads(report.read_text()).get("score")
        assert score == wanted[student] or student == nothing, CASES[student].name
