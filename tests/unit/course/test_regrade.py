"""`course grade --regrade`: some laws judged again, what that changes shown first, the rest left as
it is."""

from __future__ import annotations

from pathlib import Path

import cheap_judge
import pytest
from conftest import Type

from graders.batch import regrade
from graders.registry.catalogue import catalogue
from graders.registry.law import Law
from graders.result import LawResult, Outcome

EXERCISE = catalogue(3)
PART = "class PrefixCache:\n    def match(self, tokens):\n        return ()  # {}\n"
AGAIN = next(law for law in EXERCISE.laws if law.needs and law.kind == "unit")


@pytest.fixture
def desks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, course: Type) -> Path:
    """A class of two that was judged once, every law of both broken; from then on every law holds."""
    cheap_judge.in_this_process(monkeypatch)
    for student in ("ada", "bob"):
        (tmp_path / "class" / student).mkdir(parents=True)
        (tmp_path / "class" / student / EXERCISE.file_name).write_text(PART.format(student))
    monkeypatch.setattr(cheap_judge, "_decided", decided(Outcome.FAIL))
    assert course("grade", str(tmp_path / "class"), "--laws-only").code == 0
    monkeypatch.setattr(cheap_judge, "_decided", decided(Outcome.PASS))
    return tmp_path / "class"


def decided(outcome: Outcome) -> object:
    def judge(law: Law, text: str) -> LawResult:
        points = law.points if outcome is Outcome.PASS else 0.0
        return LawResult(law.number, law.name, law.statement, outcome, points, law.points)

    return judge


def test_a_law_is_judged_again_with_those_that_need_it_and_no_other() -> None:
    first = EXERCISE.laws[0]
    found = regrade.with_dependents([first.number])
    assert found[0] == first.number and set(found) >= {
        law.number for law in EXERCISE.laws if first.number in law.needs
    }
    last = EXERCISE.laws[-1].number
    assert regrade.with_dependents([last]) == (last,)


def test_what_changes_is_printed_and_everything_else_stays(course: Type, desks: Path) -> None:
    first = EXERCISE.laws[0]
    alone = [law for law in EXERCISE.laws if law.number in regrade.with_dependents([first.number])]
    typed = course("grade", str(desks), "--laws-only", "--regrade", first.number)
    assert typed.code == 0, typed.err
    assert f"ada  {first.number}  0 -> {first.points:g}" in typed.out
    others = {law.number for law in EXERCISE.laws} - {law.number for law in alone}
    assert not any(f"ada  {number}  " in typed.out for number in others)


def test_a_law_whose_needs_are_still_broken_stays_closed(course: Type, desks: Path) -> None:
    typed = course("grade", str(desks), "--laws-only", "--regrade", AGAIN.number)
    assert "0 laws have other points than before." in typed.out


def test_a_part_that_is_another_now_has_to_be_judged_whole(course: Type, desks: Path) -> None:
    (desks / "ada" / EXERCISE.file_name).write_text(PART.format("better"))
    typed = course("grade", str(desks), "--laws-only", "--regrade", EXERCISE.laws[0].number)
    assert "ada  3  is not what was judged before" in typed.out
    assert f"bob  {EXERCISE.laws[0].number}  0 -> " in typed.out


@pytest.mark.parametrize(
    ("law", "says"), [("9.9", "no law"), ("3.99", "no law 3.99"), ("x", "no law")]
)
def test_a_law_that_there_is_not_is_one_sentence(
    course: Type, desks: Path, law: str, says: str
) -> None:
    typed = course("grade", str(desks), "--regrade", law)
    assert (typed.code, says in typed.err) == (2, True)


def test_what_was_never_judged_cannot_be_judged_again(
    course: Type, desks: Path, tmp_path: Path
) -> None:
    typed = course("grade", str(desks), "--journal", str(tmp_path / "new"), "--regrade", "3.1")
    assert (typed.code, "nothing was judged in" in typed.err) == (2, True)
