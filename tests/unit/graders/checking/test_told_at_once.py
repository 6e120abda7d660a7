"""All that is not written, all that is not refused, and the name that was meant: told in one run."""

from __future__ import annotations

from pathlib import Path

import pytest

import solutions
from graders import grade
from graders.checking.failure import Broken, Together
from graders.registry.catalogue import catalogue
from graders.result import LawResult, Outcome


def judged(tmp_path: Path, law: str, *edits: tuple[str, str]) -> LawResult:
    entry = catalogue(int(law.partition(".")[0]))
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    for right, wrong in edits:
        assert right in text
        text = text.replace(right, wrong)
    path = tmp_path / entry.file_name
    path.write_text(text, encoding="utf-8")
    (result,) = grade(entry.number, path, seed=1, only=[law]).laws
    assert result.outcome is Outcome.FAIL
    return result


def test_every_method_that_a_law_calls_and_is_not_written_is_named_with_its_line(
    tmp_path: Path,
) -> None:
    unwritten = 'raise NotImplementedError("your code")'
    told = judged(
        tmp_path, "1.1",
        ("table = self._tables.pop(seq)\n        del self._lengths[seq]\n        return self._unref(reversed(table))",
         unwritten),
        ("return len(self._free)\n        ### END", f"{unwritten}\n        ### END"),
    ).message  # fmt: skip
    assert told == "`num_free` is not written yet."  # law 1.1 frees nothing
    told = judged(
        tmp_path, "1.2",
        ("table = self._tables.pop(seq)\n        del self._lengths[seq]\n        return self._unref(reversed(table))",
         unwritten),
        ("return len(self._free)\n        ### END", f"{unwritten}\n        ### END"),
    ).message  # fmt: skip
    assert told.startswith("`num_free` is not written yet. This law also calls `free` (line ")


def test_every_forbidden_call_that_gets_through_is_named(tmp_path: Path) -> None:
    told = judged(
        tmp_path, "1.9",
        ("if times > self._retained.get(block, 0):", "if False:"),
        ("if child in self._tables:", "if False:"),
        ("if num_blocks < 2:", "if False:"),
        ("if block_size < 1:", "if False:"),
    ).message  # fmt: skip
    first, _, others = told.partition("\n")
    assert "BlockManager(1, 4)" in first
    assert "BlockManager(8, 0)" in others and "`fork` must raise ValueError" in others


@pytest.mark.parametrize(
    ("law", "right", "wrong", "said"),
    [
        (
            "1.6",
            "def truncate(",
            "def trunctate(",
            "There is no `truncate`: did you mean it by `trunctate` in line",
        ),
        ("1.1", "self._free.pop()", "self._fre.pop()", "Did you mean `_free`?"),
        ("1.1", "self._take(", "self._tak(", "Did you mean `_take`?"),
        ("1.6", "self._free += fallen", "self._fre += fallen", "Did you mean `_free`?"),
    ],
)
def test_a_name_that_was_misspelled_is_told_as_what_it_was_meant_for(
    law: str, right: str, wrong: str, said: str, tmp_path: Path
) -> None:
    assert said in judged(tmp_path, law, (right, wrong)).message


def test_a_hang_among_named_cases_is_told_at_once() -> None:
    together = Together()
    with together.case():
        raise Broken("first")
    with pytest.raises(Broken, match="hung"), together.case():
        raise Broken("hung", outcome=Outcome.TIMEOUT)
    with pytest.raises(Broken, match="first"):
        together.tell()
