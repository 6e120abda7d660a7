"""The laws of exercise 3: every wrong part dies by the law it names, right parts with other
internals live."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import first_broken, numbers, right_parts, sampled, wrong_parts

import graders.checking.random_cases
import graders.checking.workers
import graders.sandbox.worker
import solutions
from course.authoring.mutant_files import Mutant
from graders import grade
from graders.registry.catalogue import catalogue
from graders.result import Outcome

EXERCISE = 3
SOLUTION = Path(solutions.__path__[0]) / catalogue(EXERCISE).slug / catalogue(EXERCISE).file_name

FIGURES = {"match of 32768 tokens", "pages computed for 100 contracts of 51"}
CLOSING = {"fast enough"}  # it tries all of the others together


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No process for each part: the answers of the worker are the same. Stories are hardly
    shortened."""
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.0)


@pytest.mark.parametrize("part", sampled(wrong_parts(EXERCISE)), ids=str)
def test_a_wrong_part_dies_by_the_law_it_names(part: Mutant, quick: None, tmp_path: Path) -> None:
    broken = first_broken(part.write(tmp_path), EXERCISE, only=numbers(part))
    assert broken is not None
    assert broken.story is not None
    assert re.search(part.says, f"{broken.message} {broken.story.got}")


@pytest.mark.parametrize(
    ("method", "changed", "says", "expected"),
    [
        (
            "match",
            "[]",
            "`match` returned a list ([]); a Match(length, blocks, node) is due.",
            "a Match",
        ),
        ("match", "None", "`match` returned nothing; is a return missing? A Match(", "a Match"),
        (
            "insert",
            "4",
            "`insert` returned an int (4); an Inserted(reused, node) is due.",
            "an Inserted",
        ),
        (
            "insert",
            "type('Inserted', (), {})()",
            "an Inserted of another class; import",
            "an Inserted",
        ),
        ("match", "Match(0, None, None)", "a Match whose blocks are None; a tuple", "a Match"),
        (
            "match",
            "Match(None, (), None)",
            "`match` returned a length of None; an int is due.",
            "length=0, blocks=[]",
        ),
        ("match", "", "There is no `match`", "a method match(self, tokens, namespace=None)"),
    ],
)
def test_a_wrong_answer_is_told_as_what_it_is(
    method: str, changed: str, says: str, expected: str, quick: None, tmp_path: Path
) -> None:
    last = (
        f"PrefixCache.{method} = lambda *_: {changed}" if changed else f"del PrefixCache.{method}"
    )
    path = tmp_path / "prefix_cache.py"
    path.write_text(f"{SOLUTION.read_text(encoding='utf-8')}\n{last}\n", encoding="utf-8")
    broken = first_broken(path, EXERCISE, only=["3.1"])
    assert broken is not None
    assert broken.story is not None
    assert says in broken.message
    assert broken.story.expected == expected
    assert "raised" not in broken.story.got or not changed


def test_a_sleeping_part_is_told_by_the_method_that_sleeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SLEEPING", "UNTOLD"):  # the second where the kernel tells less
        monkeypatch.setattr(graders.sandbox.worker, name, 1.0)
    path = tmp_path / "prefix_cache.py"
    text = SOLUTION.read_text(encoding="utf-8")
    head = "full = len(tokens) // self._block_size\n"
    assert text.count(head) == 1
    path.write_text(
        text.replace(head, f"__import__('time').sleep(0.2)\n        {head}"), encoding="utf-8"
    )
    (law,) = grade(EXERCISE, path, seed=7, only=["3.1"]).laws
    assert law.outcome is Outcome.TIMEOUT
    assert law.message.startswith("`insert` sleeps: it kept the grader waiting for")
    assert law.story is not None
    assert "insert(" in law.story.steps[-1]


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("part", wrong_parts(EXERCISE), ids=str)
def test_no_earlier_law_kills_a_wrong_part(
    part: Mutant, seed: int, quick: None, tmp_path: Path
) -> None:
    broken = first_broken(part.write(tmp_path), EXERCISE, seed=seed)
    assert broken is not None
    assert broken.name in part.laws


@pytest.mark.parametrize("path", [*right_parts(EXERCISE), SOLUTION], ids=lambda path: path.stem)
def test_a_right_part_keeps_every_law(path: Path, quick: None) -> None:
    judged = [
        law
        for law in catalogue(EXERCISE).laws
        if law.kind != "throughput" and law.name != "linear work"
    ]
    result = grade(EXERCISE, path, seed=3, only=[law.number for law in judged])
    assert [law.message for law in result.laws if law.outcome is not Outcome.PASS] == []


@pytest.mark.slow
@pytest.mark.parametrize("path", right_parts(EXERCISE), ids=lambda path: path.stem)
def test_a_right_part_does_linear_work(path: Path, quick: None) -> None:
    """`make error-rates` asks this many times; counting takes seconds a part."""
    (law,) = grade(EXERCISE, path, seed=3, only=["3.9"]).laws
    assert law.outcome is Outcome.PASS, law.message


def test_the_solution_passes_in_a_real_worker() -> None:
    """Behind the wire, every law but the timed engine's, with the figures that are shown beside the
    verdict."""
    laws = [law.number for law in catalogue(EXERCISE).laws if law.name != "fast enough"]
    result = grade(EXERCISE, SOLUTION, seed=5, only=laws)
    assert (result.problem, result.passed, result.points) == ("", True, 100.0)
    assert {figure.name for figure in result.figures} >= FIGURES


def test_every_law_has_a_wrong_part() -> None:
    named = {name for part in wrong_parts(EXERCISE) for name in part.laws[:1]}
    assert named == {law.name for law in catalogue(EXERCISE).laws} - CLOSING


@pytest.mark.parametrize(
    ("unwritten", "laws"),
    [
        (("evict", "lock", "unlock"), ["3.1", "3.2", "3.3", "3.8"]),
        (("lock", "unlock"), ["3.4", "3.5", "3.7"]),
    ],
)
def test_no_law_calls_what_a_later_one_is_about(
    unwritten: tuple[str, ...], laws: list[str], quick: None, tmp_path: Path
) -> None:
    text = SOLUTION.read_text(encoding="utf-8")
    for method in unwritten:
        text += (
            f"\ndef {method}(*_):\n    raise NotImplementedError\nPrefixCache.{method} = {method}\n"
        )
    path = tmp_path / "prefix_cache.py"
    path.write_text(text, encoding="utf-8")
    result = grade(EXERCISE, path, seed=4, only=laws)
    assert [law.message for law in result.laws if law.outcome is not Outcome.PASS] == []
    (locks,) = grade(EXERCISE, path, seed=4, only=["3.6"]).laws
    assert locks.message == "`lock` is not written yet."
