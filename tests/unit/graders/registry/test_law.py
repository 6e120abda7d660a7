"""How laws are declared, numbered, chosen and skipped."""

from __future__ import annotations

import subprocess
import sys

import pytest

from graders.registry.catalogue import catalogue, exercises
from graders.registry.law import Law, LawBook, choose, unmet
from graders.result import Outcome

HINTS = ("where to look", "the idea", "almost the code")


@pytest.fixture
def book() -> LawBook:
    """Three laws, the third of which needs the first; the last is timed."""
    book = LawBook(exercise=7)
    book.law("first", statement="One.", points=1, hints=HINTS)(lambda context: None)
    book.law("second", statement="Two.", points=2, hints=HINTS)(lambda context: None)
    third = book.law(
        "third", statement="Three.", points=3, hints=HINTS, needs=("first",), kind="throughput"
    )
    third(lambda context: None)
    return book


def numbers(laws: tuple[Law, ...]) -> list[str]:
    return [law.number for law in laws]


def test_laws_are_numbered_in_order_of_declaration(book: LawBook) -> None:
    assert numbers(tuple(book)) == ["7.1", "7.2", "7.3"]
    assert [law.needs for law in book] == [(), (), ("7.1",)]


def test_a_law_declared_twice_is_refused(book: LawBook) -> None:
    with pytest.raises(ValueError, match="first"):
        book.law("first", statement="", points=1, hints=HINTS)


def test_a_law_may_need_only_what_is_declared_above(book: LawBook) -> None:
    with pytest.raises(ValueError, match="fifth"):
        book.law("fourth", statement="", points=1, hints=HINTS, needs=("fifth",))


def test_all_laws_are_chosen_in_order(book: LawBook) -> None:
    assert numbers(choose(book)) == ["7.1", "7.2", "7.3"]


def test_laws_asked_for_are_chosen_once_and_in_order(book: LawBook) -> None:
    assert numbers(choose(book, ["7.3", "7.1", "7.3"])) == ["7.1", "7.3"]


def test_an_unknown_law_is_a_key_error(book: LawBook) -> None:
    with pytest.raises(KeyError, match=r"7\.9"):
        choose(book, ["7.9"])


def test_timed_laws_can_be_left_out(book: LawBook) -> None:
    assert numbers(choose(book, laws_only=True)) == ["7.1", "7.2"]


def test_the_tenth_law_comes_after_the_ninth() -> None:
    book = LawBook(exercise=1)
    for index in range(11):
        book.law(f"law {index}", statement="", points=1, hints=HINTS)(lambda context: None)
    assert numbers(choose(book, ["1.10", "1.9", "1.2"])) == ["1.2", "1.9", "1.10"]


def test_a_need_that_did_not_pass_stands_in_the_way(book: LawBook) -> None:
    third = tuple(book)[2]
    for outcome in Outcome:
        assert unmet(third, {"7.1": outcome}) == (() if outcome is Outcome.PASS else ("7.1",))


def test_a_need_that_was_not_asked_for_stands_in_nobodys_way(book: LawBook) -> None:
    assert unmet(tuple(book)[2], {}) == ()


@pytest.mark.parametrize("exercise", exercises(), ids=lambda exercise: exercise.slug)
def test_every_law_says_what_a_learner_needs(exercise: object) -> None:
    from graders.registry.catalogue import Exercise

    assert isinstance(exercise, Exercise)
    for law in exercise.laws:
        assert law.exercise == exercise.number
        assert law.points > 0
        assert law.statement.endswith(".")
        assert len(law.hints) == 3 and len(set(law.hints)) == 3 and all(law.hints)


@pytest.mark.parametrize("exercise", [1, 2, 3, 4, 5])
def test_the_laws_are_worth_100_points_and_speed_is_worth_20_more(exercise: int) -> None:
    *laws, speed = catalogue(exercise).laws
    assert sum(law.points for law in laws) == 100
    assert (speed.name, speed.kind, speed.points) == ("fast enough", "throughput", 20)


def test_the_catalogue_imports_nothing_heavy() -> None:
    """`course list` shows it within 0.3 s."""
    code = "import sys; from graders.registry.catalogue import exercises; exercises(); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "hypothesis", "numpy", "subprocess", "graders.sandbox.worker"} & set(
        loaded
    )
