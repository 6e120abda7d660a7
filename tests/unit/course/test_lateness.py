"""What being late costs, from the scores as they stand, and the log of every score that changed."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader")

from nbgrader.api import Gradebook
from traitlets.config import Config

from course.nbgrader_glue.exporting import SafeCsv
from course.nbgrader_glue.lateness import BadExtensions, extensions
from course.nbgrader_glue.score_changes import FILE

DUE, LATE = "2027-01-31 12:00", "2027-02-01 18:00"
Rows = dict[str, dict[str, str]]


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A gradebook with one law and one answer; ada is late, bob in time, both have 60 points from
    the law."""
    path = tmp_path_factory.mktemp("template") / "gradebook.db"
    with pytest.MonkeyPatch.context() as patch:
        # nbgrader asks a process for it
        patch.setattr("nbgrader.api.get_alembic_version", lambda: "x")
        _fill(path)
    return path


def _fill(path: Path) -> None:
    with Gradebook(f"sqlite:///{path}") as gradebook:
        gradebook.add_assignment("a", duedate=DUE)
        gradebook.add_notebook("a", "a")
        gradebook.add_grade_cell("law-1-1", "a", "a", max_score=60, cell_type="code")
        gradebook.add_grade_cell("explain-1-1", "a", "a", max_score=40, cell_type="markdown")
        for student, when in (("ada", LATE), ("bob", DUE)):
            gradebook.add_student(student)
            gradebook.add_submission("a", student, timestamp=when)
            gradebook.find_grade("law-1-1", "a", "a", student).auto_score = 60
        gradebook.db.commit()


@pytest.fixture
def book(template: Path, tmp_path: Path) -> Iterator[Any]:
    shutil.copy(template, tmp_path)
    with Gradebook(f"sqlite:///{tmp_path}/gradebook.db") as gradebook:
        yield gradebook


def exported(book: Any, home: Path, **late: float) -> Rows:
    config = Config({"CourseDirectory": {"root": str(home)}, "LateByDay": late or {"per_day": 0.1}})
    config.AssignLatePenalties.plugin_class = "course.nbgrader_glue.LateByDay"
    SafeCsv(config=config, to=str(home / "grades.csv")).export(book)
    return table(home / "grades.csv", "student_id")


def table(path: Path, key: str) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return {row[key]: row for row in csv.DictReader(file)}


def test_points_given_by_hand_after_autograding_are_late_too(book: Any, tmp_path: Path) -> None:
    assert exported(book, tmp_path)["ada"]["late_submission_penalty"] == "12.0"
    book.find_grade("explain-1-1", "a", "a", "ada").manual_score = 40
    book.db.commit()
    rows = exported(book, tmp_path)
    assert (rows["ada"]["raw_score"], rows["ada"]["late_submission_penalty"]) == ("100.0", "20.0")
    assert rows["bob"]["late_submission_penalty"] == "0.0"


def test_a_penalty_wiped_by_autograding_again_is_back(book: Any, tmp_path: Path) -> None:
    exported(book, tmp_path)
    book.find_submission_notebook("a", "a", "ada").late_submission_penalty = None
    book.db.commit()
    assert exported(book, tmp_path)["ada"]["late_submission_penalty"] == "12.0"


def test_an_extension_is_a_students_own_due_date(book: Any, tmp_path: Path) -> None:
    (tmp_path / "extensions.csv").write_text("id,assignment,days\nada,a,1\n")
    row = exported(book, tmp_path)["ada"]
    assert (row["late_submission_penalty"], row["duedate"]) == ("6.0", "2027-02-01 12:00:00")
    (tmp_path / "extensions.csv").write_text("id,assignment,days\nada,a,2\n")
    assert exported(book, tmp_path)["ada"]["late_submission_penalty"] == "0.0"


@pytest.mark.parametrize(
    ("days", "penalty"),
    [("1,25", "0.0"), ("1.239", "0.0"), ("1.2", "6.0")],
    ids=["all", "grace", "a day begun"],
)
def test_late_on_the_day_of_the_extension_is_a_day_begun_after_the_minutes_of_grace(
    book: Any, tmp_path: Path, days: str, penalty: str
) -> None:
    text = f'\N{BYTE ORDER MARK}id;assignment;days\nADA;a;"{days}"\n'  # as a spreadsheet saves it
    (tmp_path / "extensions.csv").write_text(text, encoding="utf-8")
    assert (
        exported(book, tmp_path, per_day=0.1, grace_minutes=20)["ada"]["late_submission_penalty"]
        == penalty
    )


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("ada,a,soon", "line 2"),
        ("ada,a,-1", "no number of days"),
        ("adda,a,1", "is it ada?"),
        ("zoe,a,1", "no student"),
        ("ada,b,1", "no assignment"),
        ("ada,a,1\nada,a,2", "twice"),
    ],
)
def test_an_extension_that_would_mean_nothing_is_named_with_its_line(
    book: Any, tmp_path: Path, line: str, says: str
) -> None:
    (tmp_path / "extensions.csv").write_text(f"id,assignment,days\n{line}\n")
    with pytest.raises(BadExtensions, match=re.escape(says)):
        extensions(tmp_path, book)


def test_every_change_is_logged_once_with_its_reason(book: Any, tmp_path: Path) -> None:
    exported(book, tmp_path)
    book.find_grade("explain-1-1", "a", "a", "ada").manual_score = 40
    book.db.commit()
    exported(book, tmp_path)
    exported(book, tmp_path)
    with (tmp_path / FILE).open(newline="") as file:
        rows = [
            (row["student"], row["kind"], row["before"], row["after"])
            for row in csv.DictReader(file)
        ]
    assert rows == [
        ("ada", "late", "0.0", "12.0"),
        ("ada", "late", "12.0", "20.0"),
        ("ada", "by hand", "", "40.0"),
    ]


def test_canvas_and_moodle_get_a_column_an_assignment(book: Any, tmp_path: Path) -> None:
    exported(book, tmp_path)
    canvas = table(tmp_path / "grades-canvas.csv", "SIS User ID")
    assert canvas["ada"]["Student"] == "ada" and canvas[""]["a"] == "100.0"
    assert set(table(tmp_path / "grades-moodle.csv", "ID number")) == {"ada", "bob"}


def test_a_hand_in_in_doubt_has_no_score(book: Any, tmp_path: Path) -> None:
    grade = book.find_grade("law-1-1", "a", "a", "bob")
    grade.auto_score, grade.needs_manual_grade = None, True
    book.db.commit()
    row = exported(book, tmp_path)["bob"]
    assert (row["state"], row["score"]) == ("needs a person", "")
    assert table(tmp_path / "grades-moodle.csv", "ID number")["bob"]["a"] == ""
