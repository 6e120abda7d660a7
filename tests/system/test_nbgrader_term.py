"""A whole term with nbgrader's own commands, on its real gradebook: from an empty folder to grades
and feedback."""

from __future__ import annotations

import csv
import json
import os
import re
import resource
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

pytest.importorskip("nbgrader")

from nbgrader.api import Gradebook
from wrong_parts import wrong_part

from course.batch_grading import exit_code
from course.errors import Problem
from course.nbgrader_glue import notebook, settings
from course.nbgrader_glue.grade_cell import GradingTerms, judge
from course.nbgrader_glue.gradebook import CommitReport, commit
from course.nbgrader_glue.write_outputs import grade_id
from course.targets import solution_file, stub_of
from course.workspace import installed_root
from graders.registry.catalogue import catalogue
from graders.reports.row import Row
from graders.result import ExerciseResult, LawResult, Outcome

pytestmark = pytest.mark.slow

EXERCISE = catalogue(3)
SLUG = EXERCISE.slug
SOLVED = solution_file(EXERCISE).read_text(encoding="utf-8")
WRONG = wrong_part(3, "empty_name_is_none").text
TIMED = {notebook.law_id(law.number) for law in EXERCISE.laws if law.kind == "throughput"}
LAWS = {notebook.law_id(law.number): law for law in EXERCISE.laws}
NAMESPACES = next(name for name, law in LAWS.items() if law.name == "namespaces")
FULL = {name: law.points for name, law in LAWS.items() if name not in TIMED}
ZERO = dict.fromkeys(FULL, 0.0)
ON_TIME, LATE = "2027-01-31 11:00:00 UTC", "2027-02-01 18:00:00 UTC"
ROSTER = """id,first_name,last_name,email
ada,Ada,Lovelace,ada@example.org
bob,"=HYPERLINK(""http://x"")","O'Brien, Jr.",bob@example.org
cyd,Cyd,Ωμέγα,cyd@example.org
dan,Dan,Absent,@dan
"""
BROKEN_MACHINE = """
import graders.sandbox.worker
from graders.sandbox.isolation import MachineFault
from nbgrader.apps.nbgraderapp import main

def spawn(*_, **__):
    raise MachineFault("this machine starts no process")

graders.sandbox.worker.spawn = spawn
main()
"""
HOSTILE = """
import json, os, sys
for name in ("gradebook.db", "../gradebook.db", {book!r}, {marker!r}):
    try:
        open(name, "w").write("mine")
    except OSError:
        pass
print(json.dumps({{"passed": True, "points": 100}}))
sys.stdout.flush()
os._exit(0)
"""


@dataclass
class Term:
    """The course's folder, and what its commands said."""

    home: Path
    said: dict[str, str] = field(default_factory=dict)
    codes: dict[str, int] = field(default_factory=dict)
    # of the first autograding
    scores: dict[str, dict[str, float | None]] = field(default_factory=dict)
    # score before the penalty, and the penalty
    totals: dict[str, tuple[float, float]] = field(default_factory=dict)

    @property
    def marker(self) -> Path:
        return self.home.parent / "a-kernel-ran"

    def type(
        self, *words: str, module: str = "nbgrader", cwd: Path | None = None, key: str = ""
    ) -> str:
        """Type a command in the course's folder; what it printed. Its exit code is kept."""
        private = self.home.parent / "private"
        dirs = {
            f"JUPYTER_{name}_DIR": str(private / name) for name in ("CONFIG", "DATA", "RUNTIME")
        }
        paths = os.pathsep.join([str(installed_root()), str(self.home.parent)])
        # nbgrader calls alembic
        path = os.pathsep.join([os.path.dirname(sys.executable), os.environ["PATH"]])
        environment = {
            **os.environ,
            **dirs,
            "PYTHONPATH": paths,
            "HOME": str(private),
            "PATH": path,
        }
        order = [sys.executable, "-m", module, *words]
        run = subprocess.run(
            order,
            cwd=cwd or self.home,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        self.said[key or words[0]] = run.stdout + run.stderr
        self.codes[key or words[0]] = run.returncode
        return run.stdout + run.stderr

    def must(
        self, *words: str, module: str = "nbgrader", cwd: Path | None = None, key: str = ""
    ) -> str:
        said = self.type(*words, module=module, cwd=cwd, key=key)
        assert self.codes[key or words[0]] == 0, said
        return said

    def book(self) -> Gradebook:
        return Gradebook(f"sqlite:///{self.home}/gradebook.db", "inference_kitchen")

    def hand_in(self, student: str, sheet: Any, when: str = ON_TIME, **files: str) -> Path:
        folder = self.home / "submitted" / student / SLUG
        folder.mkdir(parents=True, exist_ok=True)
        text = sheet if isinstance(sheet, str) else json.dumps(sheet)
        (folder / f"{SLUG}.ipynb").write_text(text, encoding="utf-8")
        for name, content in {
            "timestamp.txt": when,
            "submission_secret.txt": f"secret-{student}",
            **files,
        }.items():
            (folder / name).write_text(content, encoding="utf-8")
        return folder / f"{SLUG}.ipynb"

    def of(self, student: str) -> dict[str, float | None]:
        """The automatic scores of the laws that are not timed."""
        with self.book() as book:
            grades = book.find_submission_notebook(SLUG, SLUG, student).grades
            return {grade.name: grade.auto_score for grade in grades if grade.name in FULL}

    def grades(self, student: str) -> dict[str, tuple[float | None, float | None, bool]]:
        with self.book() as book:
            grades = book.find_submission_notebook(SLUG, SLUG, student).grades
            return {
                grade.name: (grade.auto_score, grade.manual_score, grade.needs_manual_grade)
                for grade in grades
            }

    def feedback(self, student: str) -> str:
        return (self.home / "feedback" / student / SLUG / f"{SLUG}.html").read_text(
            encoding="utf-8"
        )


def cell(sheet: dict[str, Any], name: str) -> dict[str, Any]:
    return next(entry for entry in sheet["cells"] if grade_id(entry) == name)


def write_solution(sheet: dict[str, Any], code: str, *answers: str) -> dict[str, Any]:
    cell(sheet, EXERCISE.slot)["source"] = code
    for index, answer in enumerate(answers):
        cell(sheet, notebook.question_id(3, index))["source"] = answer
    return sheet


def dishevelled(sheet: dict[str, Any]) -> dict[str, Any]:
    """Renamed solution, deleted and doubled law cells, changed points, a metadata version that
    nbgrader stops at."""
    write_solution(sheet, SOLVED)
    cell(sheet, EXERCISE.slot)["metadata"]["nbgrader"] |= {"grade_id": "mine", "schema_version": 99}
    cell(sheet, "law-3-1")["metadata"]["nbgrader"]["points"] = 1000
    twice = json.loads(json.dumps(cell(sheet, "law-3-2")))
    sheet["cells"] = [
        entry for entry in sheet["cells"] if grade_id(entry) not in ("law-3-4", "law-3-5")
    ]
    return {
        **sheet,
        "cells": [twice, *sheet["cells"], {"cell_type": "code", "metadata": {}, "source": "1/0"}],
    }


def third_version(sheet: dict[str, Any]) -> dict[str, Any]:
    """The notebook in the format of 2013."""
    cells = []
    for entry in sheet["cells"]:
        if entry["cell_type"] == "code":
            mine = {
                "input": entry["source"],
                "language": "python",
                "outputs": [],
                "collapsed": False,
            }
            cells.append(
                {"cell_type": "code", "metadata": entry["metadata"], "prompt_number": 1, **mine}
            )
        else:
            cells.append({key: entry[key] for key in ("cell_type", "metadata", "source")})
    return {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {"name": ""},
        "worksheets": [{"cells": cells}],
    }


def hand_in_all(term: Term, released: Callable[[], dict[str, Any]]) -> None:
    kernel_trap = {
        "cell_type": "code",
        "id": "trap",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": f"open({str(term.marker)!r}, 'w').write('ran')",
    }
    stub = released()
    stub["cells"].insert(0, kernel_trap)
    term.hand_in("bob", stub)
    term.hand_in("cyd", write_solution(released(), WRONG, "I do not know."))
    hostile = HOSTILE.format(book=str(term.home / "gradebook.db"), marker=str(term.marker))
    term.hand_in("eve", write_solution(released(), hostile + "class PrefixCache: pass\n"))
    term.hand_in("fay", dishevelled(released()))
    term.hand_in("gus", third_version(write_solution(released(), SOLVED)))
    term.hand_in("hal", write_solution(released(), SOLVED), LATE)
    term.hand_in("ivy", '{"cells": [{"cell_type": ')
    term.hand_in("jon", released(), **{EXERCISE.file_name: SOLVED})
    swollen = released()
    swollen["cells"].append(
        {"cell_type": "markdown", "id": "big", "metadata": {}, "source": "x" * (9 << 20)}
    )
    term.hand_in("max", swollen)
    term.hand_in("lea", write_solution(released(), SOLVED))
    term.hand_in('=1+1 "x"', released())


def student_at_the_exchange(term: Term) -> None:
    """Ada fetches the assignment, writes, hands in."""
    desk = term.home.parent / "ada's desk"
    desk.mkdir()
    (desk / "nbgrader_config.py").write_text(
        f'c = get_config()\nc.Exchange.root = "{term.home}/exchange"\n'
        'c.CourseDirectory.course_id = "inference_kitchen"\n'
    )
    term.must("fetch_assignment", SLUG, cwd=desk)
    path = desk / SLUG / f"{SLUG}.ipynb"
    sheet = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(
        json.dumps(write_solution(sheet, SOLVED, "One menu, forty questions.", "Ends first."))
    )
    term.must("submit", SLUG, "--student", "ada", cwd=desk)


@pytest.fixture(scope="module")
def blank(tmp_path_factory: pytest.TempPathFactory) -> Term:
    """A course with its roster, its due date and exercise 3 generated; to be copied."""
    home = tmp_path_factory.mktemp("blank") / "class"
    term = Term(home)
    term.must("instructor", "init", str(home), "-e", "3", module="course.cli", cwd=home.parent)
    with (home / "nbgrader_config.py").open("a") as config:
        config.write(
            "c.LateByDay.per_day = 0.1\nc.ExchangeCollect.check_owner = False\n"
            "c.CourseGrade.laws_only = True\n"  # what is timed is not equal twice
        )
    (home / "students.csv").write_text(ROSTER, encoding="utf-8")
    term.must("db", "assignment", "add", SLUG, "--duedate=2027-01-31 12:00 UTC", key="due")
    term.must("db", "student", "import", "students.csv", key="roster")
    term.must("generate_assignment", SLUG)
    return term


def copied(blank: Term, folder: Path) -> Term:
    shutil.copytree(blank.home, folder / "class")
    return Term(folder / "class")


@pytest.fixture(scope="module")
def term(blank: Term, tmp_path_factory: pytest.TempPathFactory) -> Term:
    """The first half of the term, until the grades are out."""
    term = copied(blank, tmp_path_factory.mktemp("term"))
    term.must("release_assignment", SLUG)
    student_at_the_exchange(term)
    hand_in_all(
        term, lambda: json.loads((term.home / f"release/{SLUG}/{SLUG}.ipynb").read_text(encoding="utf-8"))
    )  # fmt: skip
    term.must("collect", SLUG)
    broken = term.home.parent / "broken_machine.py"
    broken.write_text(BROKEN_MACHINE, encoding="utf-8")
    order = ("autograde", SLUG, "--student", "lea")
    term.type(*order, module="broken_machine", key="ungraded")
    term.scores["lea, ungraded"] = term.of("lea")
    term.must("export", "--to", "first.csv", key="export, ungraded")
    term.type("autograde", SLUG)
    with term.book() as book:
        for submission in book.assignment_submissions(SLUG):
            student = submission.student.id
            term.scores[student] = term.of(student)
            term.totals[student] = (submission.score, submission.late_submission_penalty or 0.0)
        grade = book.find_grade("explain-3-1", SLUG, SLUG, "ada")
        grade.manual_score, grade.needs_manual_grade = 7.0, False  # as the formgrader does
        grade = book.find_grade("explain-3-2", SLUG, SLUG, "ada")
        grade.manual_score, grade.needs_manual_grade = 8.0, False
        grade = book.find_grade("law-3-1", SLUG, SLUG, "bob")
        grade.manual_score, grade.needs_manual_grade = 2.5, False
        book.db.commit()
    term.must("generate_feedback", SLUG)
    term.must("release_feedback", SLUG)
    term.must("export")
    return term


def rows(path: Path) -> dict[str, dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["student_id"]: row for row in csv.DictReader(file)}


def test_the_released_notebook_shows_no_solution(term: Term) -> None:
    text = (term.home / f"release/{SLUG}/{SLUG}.ipynb").read_text(encoding="utf-8")
    assert "SOLUTION" not in text and "YOUR ANSWER HERE" in text and "NotImplementedError" in text
    with_us = {
        grade_id(entry): entry["source"]
        for entry in notebook.release(EXERCISE)["cells"]
        if grade_id(entry)
    }
    theirs = {
        grade_id(entry): "".join(entry["source"])
        for entry in json.loads(text)["cells"]
        if grade_id(entry)
    }
    assert theirs == with_us
    assert (term.home / "release" / SLUG / EXERCISE.file_name).read_text(
        encoding="utf-8"
    ) == stub_of(EXERCISE)


@pytest.mark.parametrize("student", ["ada", "fay", "gus", "hal", "jon", "lea"])
def test_a_right_part_gets_full_points_however_it_was_handed_in(term: Term, student: str) -> None:
    assert term.scores[student] == FULL


@pytest.mark.parametrize("student", ["bob", "eve", '=1+1 "x"'])
def test_a_stub_and_a_hostile_part_get_nothing(term: Term, student: str) -> None:
    assert term.scores[student] == ZERO


def test_a_wrong_part_loses_the_points_of_the_law_it_breaks(term: Term) -> None:
    assert term.scores["cyd"][NAMESPACES] == 0
    assert sum(score or 0 for score in term.scores["cyd"].values()) > 50


def test_no_kernel_ran_and_the_hostile_part_wrote_nothing(term: Term) -> None:
    assert not term.marker.exists()
    assert sqlite3.connect(term.home / "gradebook.db").execute(
        "PRAGMA integrity_check"
    ).fetchone() == ("ok",)


def test_broken_and_huge_notebooks_are_named_and_stop_nobody(term: Term) -> None:
    assert term.codes["autograde"] != 0
    assert "There was an error processing assignment" in term.said["autograde"]
    failed = re.findall(
        r"error processing assignment '\S+' for student '(.*)'", term.said["autograde"]
    )
    assert failed == ["ivy", "max"] and "too large for a notebook" in term.said["autograde"]
    assert not (term.home / "autograded" / "ivy" / SLUG).exists()


def test_ungraded_is_an_error_and_no_zero_and_the_next_run_grades_it(term: Term) -> None:
    assert term.codes["ungraded"] != 0 and "this machine starts no process" in term.said["ungraded"]
    assert set(term.scores["lea, ungraded"].values()) == {None}
    row = rows(term.home / "first.csv")["lea"]
    assert (row["state"], row["score"]) == ("ungraded", "")
    assert term.scores["lea"] == FULL


def test_late_costs_a_tenth_for_each_day_begun(term: Term) -> None:
    score, penalty = term.totals["hal"]
    assert penalty == pytest.approx(score * 0.2) and score >= sum(FULL.values())
    assert term.totals["ada"][1] == 0


def test_the_roster_and_the_students_without_a_submission(term: Term) -> None:
    table = rows(term.home / "grades.csv")
    assert table["dan"]["state"] == "no submission" and table["dan"]["score"] == "0.0"
    assert {(table[name]["state"], table[name]["score"]) for name in ("ivy", "max")} == {
        ("needs a person", "")
    }
    assert len(table) == 13


def test_the_export_holds_the_gradebooks_scores_and_no_formula(term: Term) -> None:
    table = rows(term.home / "grades.csv")
    assert table["bob"]["last_name"] == "O'Brien, Jr." and table["bob"]["first_name"].startswith(
        "'=HYPERLINK"
    )
    assert table["dan"]["email"] == "'@dan" and '\'=1+1 "x"' in table
    assert float(table["ada"]["score"]) == pytest.approx(term.totals["ada"][0] + 7 + 8)
    assert table["ada"]["state"] == "not timed" and table["cyd"]["state"] == "needs a person"
    score, penalty = term.totals["hal"]
    assert float(table["hal"]["score"]) == pytest.approx(score - penalty)
    assert float(table["bob"]["score"]) == 2.5


def test_the_feedback_names_laws_and_stories(term: Term) -> None:
    page = term.feedback("cyd")
    law = LAWS[NAMESPACES]
    assert f"Law {law.number} · {law.name}" in page and "The shortest story that breaks it" in page
    assert "LawBroken" in page and f"course hint {law.number}" in page
    assert "untouched stub" in term.feedback("bob")
    assert "had another name" in term.feedback("fay")
    assert f"the file {EXERCISE.file_name}" in term.feedback("jon")


def test_the_feedback_is_released_for_everybody_who_was_graded(term: Term) -> None:
    released = list((term.home / "exchange/inference_kitchen/feedback").glob("*.html"))
    assert len(released) == len(list((term.home / "feedback").glob(f"*/{SLUG}/*.html"))) == 10


def test_what_a_person_has_to_look_at_is_flagged(term: Term) -> None:
    grades = term.grades("cyd")
    assert grades["explain-3-1"] == (None, None, True), "answered: a person grades it"
    assert grades["explain-3-2"][0] == 0 and not grades["explain-3-2"][2], "not answered: zero"
    assert all(
        term.grades("ada")[f"explain-3-{n}"][1:] == (score, False)
        for n, score in ((1, 7.0), (2, 8.0))
    )


def test_the_formgrader_finds_every_submission(term: Term) -> None:
    from nbgrader.apps.api import NbGraderAPI
    from nbgrader.coursedir import CourseDirectory

    api = NbGraderAPI(CourseDirectory(root=str(term.home), course_id="inference_kitchen"))
    assert api.get_autograded_students(SLUG) == {
        "ada",
        "bob",
        "cyd",
        "eve",
        "fay",
        "gus",
        "hal",
        "jon",
        "lea",
    } | {'=1+1 "x"'}
    shown = {entry["student"]: entry for entry in api.get_notebook_submissions(SLUG, SLUG)}
    assert shown["ada"]["score"] == pytest.approx(term.totals["ada"][0] + 15)
    assert shown["cyd"]["needs_manual_grade"]


def test_regrading_takes_the_newer_submission_and_leaves_manual_scores(term: Term) -> None:
    released = json.loads((term.home / f"release/{SLUG}/{SLUG}.ipynb").read_text(encoding="utf-8"))
    term.hand_in("bob", write_solution(released, SOLVED), "2027-01-31 11:30:00 UTC")
    before = term.grades("ada")
    term.must("autograde", SLUG, "--student", "bob", key="newer")
    grades = term.grades("bob")
    assert {name: grades[name][0] for name in FULL} == FULL
    assert grades["law-3-1"] == (FULL["law-3-1"], 2.5, True), (
        "a manual score stays and is to be looked at again"
    )
    term.must("autograde", SLUG, "--student", "ada", "--force", key="again")
    after = term.grades("ada")
    assert {name: after[name][:2] for name in FULL} == {name: before[name][:2] for name in FULL}
    assert after["explain-3-1"][1] == 7.0
    with term.book() as book:
        assert book.find_submission(SLUG, "ada").score >= sum(FULL.values()) + 15


# ---------------------------------------------------------------- the bulk path


@pytest.fixture
def course_folder(blank: Term, tmp_path: Path) -> Term:
    return copied(blank, tmp_path)


def verdict_of(outcomes: dict[str, Outcome] | None = None) -> ExerciseResult:
    laws = []
    for law in EXERCISE.laws:
        outcome = (outcomes or {}).get(notebook.law_id(law.number), Outcome.PASS)
        points = law.points if outcome is Outcome.PASS else 0.0
        laws.append(
            LawResult(law.number, law.name, law.statement, outcome, points, law.points, "why")
        )
    return ExerciseResult(3, EXERCISE.name, "x", tuple(laws))


def test_a_batch_writes_what_autograde_writes(term: Term, course_folder: Term) -> None:
    """The same submissions, judged on the same terms and committed in one go, into a gradebook of
    their own."""
    other = course_folder
    students = ["bob", "cyd", "fay", "hal"]
    handed = []
    for student in students:
        source = term.home / "submitted" / student / SLUG
        target = other.home / "submitted" / student / SLUG
        target.mkdir(parents=True)
        for path in source.iterdir():
            (target / path.name).write_bytes(path.read_bytes())
        text = next(
            "".join(entry["source"])
            for entry in json.loads((source / f"{SLUG}.ipynb").read_text())["cells"]
            if grade_id(entry) in (EXERCISE.slot, "mine")
        )
        result = judge(EXERCISE, text.encode(), GradingTerms(salt=1, laws_only=True))
        handed.append(Row(student, 3, result, str(target / f"{SLUG}.ipynb")))
    for _ in range(2):  # the second time changes nothing
        assert commit(other.home, handed) == CommitReport(4, ())
        for student in students:
            mine, theirs = other.grades(student), term.grades(student)
            for name in set(mine) - TIMED:
                if theirs[name][1] is None:
                    assert mine[name] == theirs[name], (student, name)
    with other.book() as book:
        late = book.find_submission(SLUG, "hal")
        assert late.late_submission_penalty == pytest.approx(late.score * 0.2)
    other.must("generate_feedback", SLUG)
    assert "had another name" in other.feedback("fay")


def test_course_grade_enters_a_class_in_the_gradebook(term: Term, course_folder: Term) -> None:
    """The command for large classes, on the very folder that nbgrader collects into."""
    for student in ("cyd", "fay", "gus", "hal", "jon"):
        shutil.copytree(
            term.home / "submitted" / student, course_folder.home / "submitted" / student
        )
    order = ("submitted", "--exercise", "3", "--laws-only", "--nbgrader", ".")
    assert "of nobody on the roster: fay, gus, hal, jon" in course_folder.type(
        "grade", *order, module="course.cli"
    )
    said = course_folder.must("grade", *order, "--accept-new", module="course.cli")
    assert "5 rows entered in the gradebook" in said and "not entered" not in said
    for student in ("cyd", "fay", "gus", "hal", "jon"):
        assert course_folder.of(student) == term.scores[student], student
    course_folder.must("generate_feedback", SLUG)
    assert "The shortest story that breaks it" in course_folder.feedback("cyd")


def test_a_batch_refuses_row_by_row(course_folder: Term) -> None:
    part = course_folder.home / EXERCISE.file_name
    part.write_text(SOLVED, encoding="utf-8")
    good = Row("ada", 3, verdict_of(), str(part))
    ungraded = Row("bob", 3, verdict_of({"law-3-2": Outcome.UNGRADED}), str(part))
    unknown = Row(
        "zoe",
        1,
        ExerciseResult(1, "x", "x", (LawResult("1.1", "", "", Outcome.PASS, 1, 1),)),
        str(part),
    )
    done = commit(
        course_folder.home, [Row("../eve", 3, verdict_of(), str(part)), good, ungraded, unknown]
    )
    assert done.written == 1
    assert [refused.student for refused in done.refused] == ["../eve", "bob", "zoe"]
    with course_folder.book() as book:  # it knows nobody for whom it had no place
        assert "zoe" not in {student.id for student in book.students}
    assert (
        "nbgrader generate_assignment" in done.refused[2].reason and "why" in done.refused[1].reason
    )
    assert course_folder.of("ada") == FULL and set(course_folder.of("bob").values()) == {None}
    assert exit_code((), check=False, refused=done.refused) == 3


def test_what_was_put_there_by_hand_has_no_papers_and_its_feedback_is_released_too(
    course_folder: Term,
) -> None:
    """nbgrader stops at a submission without them; at a time that is none the batch goes on without
    that row."""
    released = json.loads(
        (course_folder.home / f"release/{SLUG}/{SLUG}.ipynb").read_text(encoding="utf-8")
    )
    paths = {name: course_folder.hand_in(name, released) for name in ("ada", "bob", "cyd", "dan")}
    for name in ("ada", "dan"):
        for paper in ("timestamp.txt", "submission_secret.txt"):
            paths[name].with_name(paper).unlink()
    paths["bob"].with_name("timestamp.txt").write_text("yesterday, honestly")
    done = commit(
        course_folder.home,
        [Row(name, 3, verdict_of(), str(paths[name])) for name in ("ada", "bob", "cyd")],
    )
    assert done.written == 2 and done.refused[0].student == "bob"
    assert "timestamp.txt holds no date and time" in done.refused[0].reason
    shutil.rmtree(course_folder.home / "submitted" / "bob")
    course_folder.must("autograde", SLUG, "--student", "dan")
    course_folder.must("generate_feedback", SLUG)
    course_folder.must("release_assignment", SLUG)
    course_folder.must("release_feedback", SLUG)
    assert (
        len(list((course_folder.home / "exchange/inference_kitchen/feedback").glob("*.html"))) == 3
    )


def test_a_folder_that_cannot_be_written_is_one_row_and_the_others_are_entered(
    course_folder: Term,
) -> None:
    part = course_folder.home / EXERCISE.file_name
    part.write_text(SOLVED, encoding="utf-8")
    (course_folder.home / "autograded").mkdir()
    (course_folder.home / "autograded" / "ada").write_text("a file where a folder has to be")
    done = commit(
        course_folder.home, [Row(name, 3, verdict_of(), str(part)) for name in ("ada", "bob")]
    )
    assert done.written == 1 and [refused.student for refused in done.refused] == ["ada"]
    assert "cannot be read or written" in done.refused[0].reason
    assert set(course_folder.of("ada").values()) == {None} and course_folder.of("bob") == FULL


def test_a_verdict_at_less_isolation_than_the_course_requires_is_not_entered(
    course_folder: Term,
) -> None:
    with (course_folder.home / "nbgrader_config.py").open("a") as config:
        config.write('c.CourseGrade.require_isolation = "L3"\n')
    part = course_folder.home / EXERCISE.file_name
    part.write_text(SOLVED, encoding="utf-8")
    (low, high) = (replace(verdict_of(), isolation=level) for level in ("L2", "L3"))
    done = commit(
        course_folder.home, [Row("ada", 3, low, str(part)), Row("bob", 3, high, str(part))]
    )
    assert done.written == 1 and [
        (refused.student, refused.advisory) for refused in done.refused
    ] == [("ada", True)]
    assert exit_code((), check=False, refused=done.refused) == 4


def test_a_verdict_that_is_lost_takes_the_old_score_back_but_not_a_persons(
    course_folder: Term,
) -> None:
    part = course_folder.home / EXERCISE.file_name
    part.write_text(SOLVED, encoding="utf-8")
    commit(course_folder.home, [Row("ada", 3, verdict_of(), str(part))])
    with course_folder.book() as book:
        book.find_grade("law-3-1", SLUG, SLUG, "ada").manual_score = 3.0
        book.db.commit()
    commit(
        course_folder.home, [Row("ada", 3, verdict_of({"law-3-2": Outcome.UNGRADED}), str(part))]
    )
    assert set(course_folder.of("ada").values()) == {None}
    assert course_folder.grades("ada")["law-3-1"] == (None, 3.0, True)


def test_tampering_is_zero_and_flagged(course_folder: Term) -> None:
    part = course_folder.home / EXERCISE.file_name
    part.write_text(SOLVED, encoding="utf-8")
    commit(course_folder.home, [Row("eve", 3, verdict_of({"law-3-2": Outcome.INVALID}), str(part))])
    assert course_folder.grades("eve")["law-3-2"] == (0.0, None, True)
    assert not course_folder.grades("eve")["law-3-1"][2]


@pytest.mark.parametrize(
    "trouble", ["locked", "full", "corrupt", "no gradebook", "no course", "bad configuration"]
)
def test_a_gradebook_that_cannot_be_used_is_one_sentence(
    course_folder: Term,
    trouble: str,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    monkeypatch.setattr(settings, "LOCK_SECONDS", 0)
    other = sqlite3.connect(course_folder.home / "gradebook.db", isolation_level=None)
    if trouble == "locked":
        other.execute("BEGIN EXCLUSIVE")
    elif trouble == "full":
        size = (course_folder.home / "gradebook.db").stat().st_size
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        request.addfinalizer(lambda: resource.setrlimit(resource.RLIMIT_FSIZE, before))
        resource.setrlimit(resource.RLIMIT_FSIZE, (size // 2, before[1]))
    elif trouble == "no gradebook":
        (course_folder.home / "gradebook.db").unlink()
    elif trouble == "corrupt":
        (course_folder.home / "gradebook.db").write_bytes(b"no database at all, " * 1000)
    elif trouble == "no course":
        (course_folder.home / "nbgrader_config.py").unlink()
    else:
        (course_folder.home / "nbgrader_config.py").write_text("1/0")
    with pytest.raises(Problem) as caught:
        commit(course_folder.home, [Row("ada", 3, verdict_of(), "x.py")])
    assert "\n" not in str(caught.value) and str(course_folder.home) in str(caught.value)
    assert "Traceback" not in capfd.readouterr().err


# ---------------------------------------------------------------- timed laws


WATCHED = """
import os, time
import graders.batch.grade_job
from nbgrader.apps.nbgraderapp import main

grade = graders.batch.grade_job.grade

def watched(*words, **asked):
    began = time.monotonic()
    try:
        return grade(*words, **asked)
    finally:
        with open({log!r}, "a") as log:
            log.write(f"{{os.getpid()}} {{'timed' if asked.get('only') else 'laws'}} {{began}} {{time.monotonic()}}\\n")

graders.batch.grade_job.grade = watched
main()
"""


def test_a_complete_check_with_its_timed_law_and_two_autogrades_at_once(
    blank: Term, tmp_path: Path
) -> None:
    """Two courses on one machine: both get the points of the timed law, and nothing ran beside
    either timing."""
    log = tmp_path / "log"
    (tmp_path / "watched.py").write_text(WATCHED.format(log=str(log)), encoding="utf-8")
    courses = []
    for name in ("one", "two"):
        shutil.copytree(blank.home, tmp_path / name)
        courses.append(Term(tmp_path / name))
        with (tmp_path / name / "nbgrader_config.py").open("a") as config:
            config.write("c.CourseGrade.laws_only = False\n")
        released = json.loads(
            (tmp_path / name / f"release/{SLUG}/{SLUG}.ipynb").read_text(encoding="utf-8")
        )
        courses[-1].hand_in("ada", write_solution(released, SOLVED))
    threads = [
        Thread(target=course.type, args=("autograde", SLUG), kwargs={"module": "watched"})
        for course in courses
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for course in courses:
        assert course.codes["autograde"] == 0, course.said["autograde"]
        scores = {
            name: score for name, (score, _, _) in course.grades("ada").items() if name in LAWS
        }
        assert scores == {name: law.points for name, law in LAWS.items()}
    spans = [line.split() for line in log.read_text().splitlines()]
    timed = [
        (pid, float(began), float(ended)) for pid, kind, began, ended in spans if kind == "timed"
    ]
    assert len({pid for pid, _, _ in timed}) == 2
    for pid, began, ended in timed:
        beside = [
            span
            for span in spans
            if span[0] != pid and float(span[2]) < ended and float(span[3]) > began
        ]
        assert not beside, "something else was judged while this was timed"


# ---------------------------------------------------------------- what a student and an instructor
# validate


def test_validate_accepts_the_source_and_fails_the_stub(course_folder: Term) -> None:
    path = f"{SLUG}/{SLUG}.ipynb"
    for step in ("source", "release"):
        sheet = json.loads((course_folder.home / step / path).read_text(encoding="utf-8"))
        sheet["cells"] = [entry for entry in sheet["cells"] if grade_id(entry) not in TIMED]
        (course_folder.home / step / path).write_text(json.dumps(sheet), encoding="utf-8")
    said = course_folder.must("validate", f"source/{path}", key="validate")
    assert "passes all the tests" in said
    assert "VALIDATION FAILED" in course_folder.type("validate", f"release/{path}", key="stub")
