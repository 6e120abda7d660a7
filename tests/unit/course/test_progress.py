"""The file that remembers a learner's progress survives whatever happens to it."""

from __future__ import annotations

import errno
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import pytest

from course import progress
from graders.registry.catalogue import catalogue
from graders.result import ExerciseResult, LawResult, Outcome

LAWS = catalogue(1).laws


def result_of(*outcomes: Outcome) -> ExerciseResult:
    """A result in which the first laws of exercise 1 ended with `outcomes`."""
    laws = tuple(
        LawResult(law.number, law.name, law.statement, outcome, 0, law.points)
        for law, outcome in zip(LAWS, outcomes, strict=False)
    )
    return ExerciseResult(1, "paged allocation", "mine", laws)


def on_text(digest: str, *outcomes: Outcome) -> ExerciseResult:
    return replace(result_of(*outcomes), digest=digest)


def test_marks_hints_and_having_passed_are_still_there_after_loading(tmp_path: Path) -> None:
    memory = progress.load(tmp_path)
    memory.record(result_of(*[Outcome.PASS] * len(LAWS)))
    memory.record_hint("1.2", 2)
    memory.record_gave_up(1)
    memory.save()
    again = progress.load(tmp_path)
    assert again.outcome("1.1", LAWS[0].name) is Outcome.PASS
    assert again.hint_level("1.2") == 2
    assert again.passed(1)
    assert again.gave_up(1)


def test_an_exercise_counts_as_passed_only_when_every_law_of_it_was_passed_in_one_check(
    tmp_path: Path,
) -> None:
    memory = progress.load(tmp_path)
    memory.record(result_of(Outcome.PASS))
    assert not memory.passed(1)
    memory.record(result_of(*[Outcome.PASS] * (len(LAWS) - 1), Outcome.FAIL))
    assert not memory.passed(1)


def test_a_lower_hint_does_not_lower_the_remembered_level() -> None:
    memory = progress.load(None)
    memory.record_hint("1.2", 3)
    memory.record_hint("1.2", 1)
    assert memory.hint_level("1.2") == 3


def test_a_mark_is_void_when_an_update_puts_another_law_under_its_number() -> None:
    memory = progress.load(None)
    memory.record(result_of(Outcome.PASS))
    assert memory.outcome("1.1", "another law") is None


def test_what_was_not_judged_keeps_its_old_mark() -> None:
    memory = progress.load(None)
    memory.record(result_of(Outcome.PASS))
    memory.record(result_of(Outcome.UNGRADED))
    assert memory.outcome("1.1", LAWS[0].name) is Outcome.PASS


@pytest.mark.parametrize(
    "damage", [b"", b"{", b"\xff\xfe", b"[]", b'{"format": "x"}', b"[" * 100_000]
)
def test_a_damaged_file_is_moved_aside_with_a_sentence(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "progress.json").write_bytes(damage)
    memory = progress.load(tmp_path)
    assert "damaged" in memory.notice
    assert (tmp_path / "progress.json.broken-1").read_bytes() == damage
    memory.record_hint("1.1", 1)
    memory.save()
    assert progress.load(tmp_path).hint_level("1.1") == 1


def test_a_second_damaged_file_does_not_overwrite_the_first(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "progress.json").write_text(text)
        progress.load(tmp_path)
    assert (tmp_path / "progress.json.broken-1").read_text() == "first"
    assert (tmp_path / "progress.json.broken-2").read_text() == "second"


def test_junk_inside_a_sound_file_counts_as_nothing(tmp_path: Path) -> None:
    junk = {
        "format": 1,
        "exercises": {"1": {"laws": {"1.1": 7}, "hints": {"1.1": "x"}, "passed": "yes"}, "2": []},
    }
    (tmp_path / "progress.json").write_text(json.dumps(junk))
    memory = progress.load(tmp_path)
    assert memory.outcome("1.1", LAWS[0].name) is None
    assert memory.hint_level("1.1") == 0
    assert not memory.passed(1)
    assert not memory.gave_up(2)


def test_a_file_of_a_newer_version_is_read_and_never_written(tmp_path: Path) -> None:
    text = json.dumps({"format": progress.FORMAT + 1, "exercises": {"1": {"passed": True}}})
    (tmp_path / "progress.json").write_text(text)
    memory = progress.load(tmp_path)
    memory.record_gave_up(1)
    memory.save()
    assert memory.passed(1)
    assert "newer version" in memory.notice
    assert (tmp_path / "progress.json").read_text() == text


def test_fields_of_other_versions_are_carried_along(tmp_path: Path) -> None:
    (tmp_path / "progress.json").write_text(json.dumps({"format": 1, "later": [1, 2]}))
    memory = progress.load(tmp_path)
    memory.record_gave_up(1)
    memory.save()
    assert json.loads((tmp_path / "progress.json").read_text())["later"] == [1, 2]


def test_a_full_disk_leaves_the_old_file_whole_and_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    memory = progress.load(tmp_path)
    memory.record_hint("1.1", 1)
    memory.save()

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    memory.record_hint("1.1", 2)
    with pytest.raises(progress.NotSaved, match="No space left on device"):
        memory.save()
    assert progress.load(tmp_path).hint_level("1.1") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["progress.json"]


def test_a_replaced_file_is_readable_by_whom_the_umask_allows(tmp_path: Path) -> None:
    previous = os.umask(0o022)
    try:
        progress.replace_file(tmp_path / "file", "text")
    finally:
        os.umask(previous)
    assert stat.S_IMODE((tmp_path / "file").stat().st_mode) == 0o644


def test_a_broken_file_that_cannot_be_moved_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "progress.json").write_text("{")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "rename", refuse)
    memory = progress.load(tmp_path)
    memory.save()
    assert "could not be moved aside" in memory.notice
    assert (tmp_path / "progress.json").read_text() == "{"


def test_two_checks_at_once_keep_both_their_marks(tmp_path: Path) -> None:
    one, other = progress.load(tmp_path), progress.load(tmp_path)
    one.record(result_of(Outcome.PASS))
    other.record_hint("1.2", 2)
    one.save()
    other.save()
    again = progress.load(tmp_path)
    assert again.outcome("1.1", LAWS[0].name) is Outcome.PASS
    assert again.hint_level("1.2") == 2


# ---------------------------------------------------------------- a verdict belongs to the text it
# was given for

WHOLE = [Outcome.PASS] * len(LAWS)


def test_a_text_that_is_back_has_its_verdicts_again(tmp_path: Path) -> None:
    memory = progress.load(tmp_path)
    memory.record(on_text("good", *WHOLE))
    memory.record(on_text("bad", Outcome.PASS, Outcome.FAIL, *[Outcome.SKIPPED] * (len(LAWS) - 2)))
    memory.forget_marks(1)  # a reset, then a restore
    memory.record(on_text("other", Outcome.PASS))
    memory.save()
    again = progress.load(tmp_path)
    assert {again.outcome(law.number, law.name, "good") for law in LAWS} == {Outcome.PASS}
    assert not any(again.old(law.number, law.name, "good") for law in LAWS)
    assert again.outcome("1.2", LAWS[1].name, "bad") is Outcome.FAIL
    assert again.outcome("1.1", LAWS[0].name, "new") is Outcome.PASS  # the last verdict, which is
    assert again.old("1.1", LAWS[0].name, "new")
    assert again.told_of_another("1.1", LAWS[0].name, "good")


def test_a_law_that_was_skipped_leaves_what_is_known_of_the_same_text() -> None:
    memory = progress.load(None)
    memory.record(on_text("good", Outcome.PASS, Outcome.PASS))
    memory.record(on_text("good", Outcome.FAIL, Outcome.SKIPPED))
    found = [memory.outcome(law.number, law.name, "good") for law in LAWS[:2]]
    assert found == [Outcome.FAIL, Outcome.PASS]


def test_of_hundreds_of_texts_those_for_which_every_law_held_are_kept_longest() -> None:
    memory = progress.load(None)
    memory.record(on_text("good", *WHOLE))
    for number in range(3 * progress.TEXTS):
        memory.record(on_text(str(number), Outcome.PASS))
    assert not memory.old("1.2", LAWS[1].name, "good")
    assert memory.old("1.1", LAWS[0].name, "0")
    assert len(memory.data["exercises"]["1"]["texts"]) == progress.TEXTS + 1
