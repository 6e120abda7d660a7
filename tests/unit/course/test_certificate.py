"""A certificate carries the texts it is about, so that somebody else can judge them again."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Type

import graders
from course import certificate
from course.targets import solution_file
from course.workspace import Workspace
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, Figure, LawResult, Outcome
from graders.submissions.source import digest

EXERCISE = catalogue(1)
TEXT = solution_file(EXERCISE).read_text(encoding="utf-8")


def result(text: str = TEXT, outcome: Outcome = Outcome.PASS) -> ExerciseResult:
    laws = tuple(
        LawResult(law.number, law.name, law.statement, outcome, law.points, law.points)
        for law in EXERCISE.laws
    )
    figures = (Figure("requests held", 60, "requests", 12, "contiguous </script>"),)
    return ExerciseResult(
        1, EXERCISE.name, "mine", laws, figures, "L4", seed=7, digest=digest(text)
    )


@pytest.fixture
def page(course: Type, place: Workspace) -> Path:
    certificate.keep(place.memory, result(), TEXT)
    shown = course("certificate", "--name", "Ada <b>")
    assert shown.code == 0
    assert "course certificate --verify certificate.html" in shown.out
    return place.root / "certificate.html"


def test_only_a_full_pass_of_this_very_text_is_kept(course: Type, place: Workspace) -> None:
    certificate.keep(place.memory, result(outcome=Outcome.FAIL), TEXT)
    certificate.keep(place.memory, result(), TEXT + "\n")
    certificate.keep(place.memory, replace(result(), laws=result().laws[:-1]), TEXT)
    assert certificate.kept(place.memory) == []
    assert "no exercise was passed yet" in course("certificate").err


def test_the_page_shows_verdict_machine_date_and_text_and_no_markup_of_anybody(page: Path) -> None:
    html = page.read_text(encoding="utf-8")
    for piece in (
        "12 of 12 laws held",
        "seed 7",
        "isolation L4",
        digest(TEXT),
        "Ada &lt;b&gt;",
        "Not passed yet",
    ):
        assert piece in html
    assert html.count("</script>") == 1
    (passed,) = certificate.read_page(page)
    assert passed.text == TEXT
    assert passed.sound


@pytest.mark.parametrize(
    ("holds", "code"), [(Outcome.PASS, 0), (Outcome.FAIL, 1), (Outcome.UNGRADED, 3)]
)
def test_verifying_judges_the_texts_on_the_page_again(
    page: Path, course: Type, monkeypatch: pytest.MonkeyPatch, holds: Outcome, code: int
) -> None:
    judged = []

    def grade(exercise: int, part: Path, **asked: object) -> ExerciseResult:
        judged.append((exercise, part.read_text(encoding="utf-8"), asked))
        return result(outcome=holds)

    monkeypatch.setattr(graders, "grade", grade)
    shown = course("certificate", "--verify", str(page))
    assert shown.code == code
    assert judged == [(1, TEXT, {"laws_only": True})]


def test_a_page_whose_text_was_exchanged_is_named_and_not_judged(page: Path, course: Type) -> None:
    page.write_text(
        page.read_text(encoding="utf-8").replace("BlockManager", "Blockmanager"), encoding="utf-8"
    )
    shown = course("certificate", "--verify", str(page))
    assert shown.code == 1
    assert "about another text" in shown.out


def test_only_where_there_is_a_timed_law_one_is_left_out(
    place: Workspace, course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Exercise 7 has none, and was verified with "the timed one left out"."""
    last, text = catalogue(7), solution_file(catalogue(7)).read_text(encoding="utf-8")
    laws = tuple(
        LawResult(law.number, law.name, law.statement, Outcome.PASS, 1, 1) for law in last.laws
    )
    held = ExerciseResult(7, last.name, "mine", laws, digest=digest(text))
    monkeypatch.setattr(
        graders, "grade", lambda exercise, *_, **__: held if exercise == 7 else result()
    )
    certificate.keep(place.memory, held, text)
    certificate.keep(place.memory, result(), TEXT)
    course("certificate")
    told = course("certificate", "--verify", "certificate.html").out
    assert told.count("the timed one left out") == 1


def test_a_page_that_shows_something_else_than_its_data_is_told(
    page: Path, course: Type, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graders, "grade", lambda *_, **__: result())
    assert "not what this version" not in course("certificate", "--verify", str(page)).out
    page.write_text(
        page.read_text(encoding="utf-8").replace("12 of 12 laws held", "all laws held"),
        encoding="utf-8",
    )
    assert "not what this version" in course("certificate", "--verify", str(page)).out


def test_a_page_without_a_verdict_proves_nothing(page: Path, course: Type) -> None:
    """It was verified without a word, with exit code 0."""
    text = page.read_text(encoding="utf-8")
    page.write_text(
        re.sub(r'"passed": \[.*\]}</script>', '"passed": []}</script>', text), encoding="utf-8"
    )
    shown = course("certificate", "--verify", str(page))
    assert shown.code == 1
    assert "no verdict" in shown.err


@pytest.mark.parametrize(
    "damage", [b"", b"<script type", b'<script type="application/json" id="verdicts">{}</script>']
)
def test_what_is_no_page_is_a_sentence(damage: bytes, course: Type, place: Workspace) -> None:
    (place.root / "page.html").write_bytes(damage)
    shown = course("certificate", "--verify", "page.html")
    assert shown.code == 2
    assert "Traceback" not in shown.err
    assert course("certificate", "--verify", "gone.html").code == 2


def test_junk_that_is_kept_counts_as_nothing(place: Workspace) -> None:
    certificate.keep(place.memory, result(), TEXT)
    (file,) = (place.memory / certificate.FOLDER).iterdir()
    for junk in (
        {},
        {**json.loads(file.read_text()), "exercise": 99},
        {**json.loads(file.read_text()), "text": 5},
    ):
        file.write_text(json.dumps(junk))
        assert certificate.kept(place.memory) == []
