"""Answers in plain words are read without names, beside the rubric; scores and comments land in the
gradebook."""

from __future__ import annotations

import http.client
import json
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("nbgrader")

from conftest import Type
from nbgrader.api import Gradebook

from course.nbgrader_glue import answer_page, notebook
from course.nbgrader_glue.answer_sheets import AnswerSheets, Refused, plain
from course.nbgrader_glue.literal_text import literal
from course.nbgrader_glue.score_changes import FILE
from course.nbgrader_glue.settings import Settings, settings
from graders.registry.catalogue import catalogue

EXERCISE = catalogue(3)
SLUG = EXERCISE.slug
FIRST, SECOND = (notebook.question_id(3, index) for index in range(2))
SAID = {
    "ada": "Once.\n<script>alert(1)</script>",
    "bob": "Because of the beginning.",
    "cyd": notebook.ANSWER,
}


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A course of three who were graded; ada and bob have answered."""
    home = tmp_path_factory.mktemp("template")
    (home / "nbgrader_config.py").write_text("c = get_config()\n")
    with pytest.MonkeyPatch.context() as patch:
        # nbgrader asks a process for it
        patch.setattr("nbgrader.api.get_alembic_version", lambda: "x")
        with Gradebook(f"sqlite:///{home}/gradebook.db") as book:
            book.add_assignment(SLUG)
            book.add_notebook(SLUG, SLUG)
            for name in (FIRST, SECOND):
                book.add_grade_cell(name, SLUG, SLUG, max_score=10, cell_type="markdown")
                book.add_solution_cell(name, SLUG, SLUG)
            for student, text in SAID.items():
                book.add_student(student)
                book.add_submission(SLUG, student)
                book.find_grade(FIRST, SLUG, SLUG, student).needs_manual_grade = (
                    text != notebook.ANSWER
                )
                sheet = home / "autograded" / student / SLUG / f"{SLUG}.ipynb"
                sheet.parent.mkdir(parents=True)
                mark = {"nbgrader": {"grade_id": FIRST}}
                cell = {"cell_type": "markdown", "metadata": mark, "source": literal(text)}
                sheet.write_text(json.dumps({"cells": [cell]}))
            book.db.commit()
    return home


@pytest.fixture
def read(template: Path, tmp_path: Path) -> Settings:
    shutil.copytree(template, tmp_path / "course")
    return settings(tmp_path / "course")


@pytest.fixture
def sheet(read: Settings) -> AnswerSheets:
    return AnswerSheets(read, EXERCISE, "secret")


def grade(read: Settings, student: str) -> tuple[float | None, bool, str | None]:
    with Gradebook(read.url) as book:
        found = book.find_grade(FIRST, SLUG, SLUG, student)
        return (
            found.manual_score,
            found.needs_manual_grade,
            book.find_comment(FIRST, SLUG, SLUG, student).comment,
        )


def key_of(sheet: AnswerSheets, text: str) -> str:
    return next(answer.key for answer in sheet.answers(0) if answer.text == text)


def test_answers_are_read_as_they_were_written_and_the_open_ones_come_first(
    sheet: AnswerSheets,
) -> None:
    found = sheet.answers(0)
    assert {answer.text for answer in found[:2]} == {SAID["ada"], SAID["bob"]}
    assert [(answer.text, answer.open) for answer in found[2:]] == [("", False)]
    assert plain(literal(SAID["ada"])) == SAID["ada"]


def test_a_score_and_a_comment_land_in_the_gradebook_and_in_the_log(
    sheet: AnswerSheets, read: Settings
) -> None:
    assert not sheet.save(0, key_of(sheet, SAID["bob"]), 7.5, " Nearly. ").open
    assert grade(read, "bob") == (7.5, False, "Nearly.")
    assert grade(read, "ada") == (None, True, None)
    assert (
        '"bob","ex3_prefix_cache","explain-3-1","by hand","","7.5"'
        in (read.root / FILE).read_text()
    )
    assert sheet.save(0, key_of(sheet, SAID["bob"]), None, "").open
    assert grade(read, "bob") == (None, True, None)


def test_what_is_no_score_of_the_question_is_refused(sheet: AnswerSheets, read: Settings) -> None:
    for score in (-1.0, 10.5, float("nan"), float("inf")):
        with pytest.raises(Refused):
            sheet.save(0, key_of(sheet, SAID["bob"]), score, "")
    assert grade(read, "bob") == (None, True, None)


def test_nobody_is_named_and_keys_of_one_student_do_not_belong_together(
    sheet: AnswerSheets,
) -> None:
    page = answer_page.render(sheet, 0)
    assert not re.search(r"\b(ada|bob|cyd)\b", page)
    assert not {answer.key for answer in sheet.answers(0)} & {
        answer.key for answer in sheet.answers(1)
    }


def test_the_rubric_stands_beside_and_what_a_student_wrote_is_text(sheet: AnswerSheets) -> None:
    page = answer_page.render(sheet, 0)
    assert (
        sheet.questions[0].answer.split()[0] in page and sheet.questions[0].text.split()[0] in page
    )
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page and page.count("<script>") == 1


@pytest.fixture
def served(sheet: AnswerSheets) -> Iterator[Any]:
    made, address = answer_page.server([sheet], "token")
    assert address == f"http://127.0.0.1:{made.server_port}/token/3/1"
    thread = threading.Thread(target=made.serve_forever, args=(0.01,))
    thread.start()
    yield made
    made.shutdown()
    thread.join()
    made.server_close()


def asked(made: Any, path: str, body: str | None = None, **headers: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", made.server_port, timeout=30)
    method, kind = ("GET", {}) if body is None else ("POST", {"content-type": "application/json"})
    connection.request(method, path, body, {**kind, **headers})
    answer = connection.getresponse()
    return answer.status, answer.read().decode()


def test_the_page_is_for_whoever_has_its_address(served: Any) -> None:
    assert asked(served, "/token/3/1")[0] == 200
    for path in (
        "/",
        "/3/1",
        "/other/3/1",
        "/token/3/9",
        "/token/9/1",
        "/token/3/1/1",
        "/token/3/" + "9" * 9000,
    ):
        assert asked(served, path)[0] == 404
    assert asked(served, "/token/3/1", host="evil.example:80")[0] == 404


def test_what_the_page_sends_is_saved_or_told_why_not(
    served: Any, sheet: AnswerSheets, read: Settings
) -> None:
    key = key_of(sheet, SAID["ada"])
    typed = json.dumps({"key": key, "score": 4, "comment": "See 3.4."})
    assert asked(served, "/token/3/1", typed) == (200, '{"open": false}')
    assert grade(read, "ada") == (4.0, False, "See 3.4.")
    for wrong in (
        typed.replace("4,", "11,"),
        typed.replace(key, "x"),
        "{}",
        "[",
        json.dumps({"score": "x"}),
    ):
        status, told = asked(served, "/token/3/1", wrong)
        assert status == 400 and json.loads(told)["problem"]
    assert asked(served, "/token/3/1", typed, **{"content-type": "text/plain"})[0] == 400
    assert grade(read, "ada") == (4.0, False, "See 3.4.")


def test_a_course_without_a_gradebook_is_one_sentence(course: Type, tmp_path: Path) -> None:
    (tmp_path / "nbgrader_config.py").write_text("c = get_config()\n")
    typed = course("instructor", "read", str(tmp_path), "-e", "3")
    assert (typed.code, "there is no gradebook" in typed.err) == (2, True)
    assert course("instructor", "read", str(tmp_path / "none")).code == 2
