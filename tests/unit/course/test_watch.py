"""The loop of a learner: judged on save, the law in work first; what comes next; what has become
old."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import Type
from rich.console import Console

import graders.grading
from course import next_steps, progress, save_events
from course.commands import watch
from course.targets import learner_file, solution_file
from course.workspace import Workspace
from graders.registry.catalogue import catalogue, exercises
from graders.result import ExerciseResult, LawResult, Outcome
from graders.sandbox.worker_prestart import Prestarted

EXERCISE = catalogue(1)
UNTIMED = [law for law in EXERCISE.laws if law.kind != "throughput"]
Broken = set[str]


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], Broken]:
    """(numbers of the laws that were tried, those that the part breaks from now on); no worker is
    started."""
    asked: list[str] = []
    broken: Broken = set()

    def grade(exercise: int, submission: Path, **options: object) -> ExerciseResult:
        only, told = options["only"], options["on_law"]
        assert (
            options["until_broken"]
            and options["laws_only"]
            and isinstance(only, list)
            and callable(told)
        )
        laws = []
        for number in only:
            law = EXERCISE.law(number)
            outcome = Outcome.FAIL if number in broken else Outcome.PASS
            laws.append(
                LawResult(number, law.name, law.statement, outcome, 0, law.points, "It broke.")
            )
            asked.append(number)
            told(laws[-1])
            if outcome is Outcome.FAIL:
                break
        return ExerciseResult(exercise, EXERCISE.name, "mine", tuple(laws), digest="d")

    monkeypatch.setattr(graders.grading, "grade", grade)
    monkeypatch.setattr(
        graders.grading, "prestart", lambda _: Prestarted("block_manager", "L1", crew=0)
    )
    return asked, broken


@pytest.fixture
def session(place: Workspace, tried: object) -> watch.WatchSession:
    learner_file(place, EXERCISE).write_bytes(solution_file(EXERCISE).read_bytes())
    screen = Console(file=io.StringIO(), width=100)
    return watch.WatchSession(screen, place, EXERCISE)


def shown(session: watch.WatchSession) -> str:
    assert isinstance(session.screen.file, io.StringIO)
    return session.screen.file.getvalue()


def test_the_law_in_work_comes_first_and_alone_until_it_holds(
    session: watch.WatchSession, tried: tuple[list[str], Broken]
) -> None:
    asked, broken = tried
    broken |= {"1.4", "1.6"}
    session.saved()
    assert asked == ["1.1", "1.2", "1.3", "1.4"]
    asked.clear()
    session.saved()
    assert asked == ["1.4"]
    asked.clear()
    broken.remove("1.4")
    session.saved()
    assert asked == ["1.4", "1.5", "1.6"]  # those that never held, then the ones that did
    asked.clear()
    broken.clear()
    session.saved()
    assert asked[0] == "1.6"
    assert sorted(asked) == sorted(law.number for law in UNTIMED)
    assert f"{len(UNTIMED)} of {len(EXERCISE.laws)} laws hold" in shown(session)


def test_what_is_saved_while_it_is_judged_is_judged_again(
    session: watch.WatchSession, tried: tuple[list[str], Broken], monkeypatch: pytest.MonkeyPatch
) -> None:
    stamps = iter([1, 2, *[3] * 100])
    real = Path.stat

    class Stamp:
        st_mtime_ns = 0

    def stat(self: Path, **options: bool) -> object:
        if self.name != EXERCISE.file_name or options:
            return real(self, **options)
        stamp = Stamp()
        stamp.st_mtime_ns = next(stamps)
        return stamp

    before: Callable[..., object] = watch.submission
    request = before(EXERCISE, "mine", session.place)
    monkeypatch.setattr(watch, "submission", lambda *_: request)
    monkeypatch.setattr(Path, "stat", stat)
    session.saved()
    assert tried[0][:2] == ["1.1", "1.1"]


def test_keys_move_on_and_quit(
    session: watch.WatchSession, tried: tuple[list[str], Broken]
) -> None:
    asked, broken = tried
    broken |= {"1.2", "1.5"}
    session.saved()
    asked.clear()
    assert session.key("n")
    assert asked[0] == "1.3"  # never tried before: the next that does not hold, as far as is known
    assert session.key("?")
    assert not session.key("q")


def test_a_hint_is_for_the_law_in_work(
    session: watch.WatchSession, tried: tuple[list[str], Broken], capsys: pytest.CaptureFixture[str]
) -> None:
    tried[1].add("1.3")
    session.saved()
    assert session.key("h")
    assert "Law 1.3" in capsys.readouterr().out


def test_the_marks_of_a_session_are_those_of_a_check(
    session: watch.WatchSession, tried: object
) -> None:
    session.saved()
    memory = progress.load(session.place.memory)
    assert all(memory.outcome(law.number, law.name) is Outcome.PASS for law in UNTIMED)
    assert not memory.passed(1)  # the timed law was not tried


def test_a_file_that_is_away_for_a_moment_does_not_end_the_session(
    session: watch.WatchSession, tried: object
) -> None:
    learner_file(session.place, EXERCISE).unlink()
    session.saved()
    assert "there is no file" in shown(session)


def test_only_the_files_of_the_exercise_count_and_a_key_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changes(folder: Path, **options: object) -> object:
        keep = options["watch_filter"]
        assert callable(keep)
        for name in ("part.py", "notes.txt", ".part.py.swp"):
            yield {name} if keep(None, str(folder / name)) else set()

    monkeypatch.setattr("watchfiles.watch", changes)
    keys = iter(["", "h", "", ""])
    monkeypatch.setattr(save_events, "pressed", lambda: next(keys))
    assert list(save_events.events(tmp_path, ("part.py",))) == [save_events.SAVED, "h"]


# ---------------------------------------------------------------- next, list


def test_next_names_the_law_to_work_on(course: Type, place: Workspace) -> None:
    assert "course lesson 1" in course("next").out
    learner_file(place, EXERCISE).write_bytes(solution_file(EXERCISE).read_bytes())
    memory = progress.load(place.memory)
    law = EXERCISE.laws[0]
    result = LawResult(law.number, law.name, law.statement, Outcome.PASS, 8, 8)
    memory.record(ExerciseResult(1, EXERCISE.name, "mine", (result,), digest="d"))
    memory.save()
    out = course("next").out
    assert EXERCISE.laws[1].statement[:30] in out
    assert "course watch 1.2" in out


def test_next_names_what_is_being_written_before_what_was_never_begun(
    course: Type, place: Workspace
) -> None:
    for number, when in ((3, 2_000_000_000), (5, 2_100_000_000), (4, 2_050_000_000)):
        file = learner_file(place, catalogue(number))
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(solution_file(catalogue(number)).read_bytes())
        os.utime(file, (when, when))
    assert catalogue(5).name in course("next").out


def test_init_without_a_folder_says_what_to_type(course: Type) -> None:
    told = course("init")
    assert told.code == 2
    assert "course init kitchen" in told.err


def test_a_verdict_on_another_text_is_shown_as_old(course: Type, place: Workspace) -> None:
    from graders.submissions.source import digest

    file, law = learner_file(place, EXERCISE), EXERCISE.laws[0]
    file.write_text("class BlockManager:\n    x = 1\n")
    passed = LawResult(law.number, law.name, law.statement, Outcome.PASS, 8, 8)
    result = ExerciseResult(1, EXERCISE.name, "mine", (passed,), digest=digest(file.read_text()))
    memory = progress.load(place.memory)
    memory.record(result)
    memory.save()
    assert "old" not in course("list").out
    file.write_bytes(file.read_bytes().replace(b"\n", b"\r\n"))
    assert "old" not in course("list").out  # the same text
    file.write_text("class BlockManager:\n    x = 2\n")
    assert "1 of 12 laws  old: changed since" in course("list").out
    memory.record(replace(result, digest=digest(file.read_text())))
    memory.save()
    assert "old" not in course("list").out


def test_a_text_that_is_back_is_as_passed_as_it_was(course: Type, place: Workspace) -> None:
    """It was "4 of 11 laws  solved  old: changed since" once some laws had been checked on another
    text."""
    from graders.submissions.source import digest

    file, texts = (
        learner_file(place, EXERCISE),
        [f"class BlockManager:\n    x = {number}\n" for number in (1, 2)],
    )
    passed = [
        LawResult(law.number, law.name, law.statement, Outcome.PASS, 8, 8) for law in EXERCISE.laws
    ]
    memory = progress.load(place.memory)
    memory.record(ExerciseResult(1, EXERCISE.name, "mine", tuple(passed), digest=digest(texts[0])))
    broken = (passed[0], replace(passed[1], outcome=Outcome.FAIL))
    memory.record(ExerciseResult(1, EXERCISE.name, "mine", broken, digest=digest(texts[1])))
    memory.save()
    file.write_text(texts[1])
    assert "11 of 12 laws  solved before  old: changed since" in course("list").out
    assert "Law 1.2" in course("hint", "1").out
    file.write_text(texts[0])
    assert "12 of 12 laws  solved\n" in course("list").out
    assert "Every law" in course("hint", "1").out
    for command in ("reset", "restore"):
        assert course(command, "1").code == 0
    assert "12 of 12 laws  solved\n" in course("list").out


def test_what_comes_next_lies_behind_what_was_passed(place: Workspace) -> None:
    memory = progress.load(place.memory)
    assert "course lesson 6" in next_steps.after_pass(catalogue(5), memory)[0]
    last = [each for each in exercises() if each.laws][-1]
    assert "course lesson 1" in next_steps.after_pass(last, memory)[0]


def test_without_a_number_that_is_watched_which_is_being_written(place: Workspace) -> None:
    memory = progress.load(place.memory)
    assert next_steps.exercise_in_work(place, memory) == catalogue(1)
    learner_file(place, catalogue(6)).write_bytes(solution_file(catalogue(6)).read_bytes())
    assert next_steps.exercise_in_work(place, memory) == catalogue(6)


def test_next_goes_on_behind_what_was_solved_last_or_with_what_is_named(
    course: Type, place: Workspace
) -> None:
    """It sent whoever had solved 5 to 7 back to exercise 1."""
    solved = catalogue(6)
    learner_file(place, solved).write_bytes(solution_file(solved).read_bytes())
    passed = [
        LawResult(law.number, law.name, law.statement, Outcome.PASS, 8, 8) for law in solved.laws
    ]
    memory = progress.load(place.memory)
    memory.record(ExerciseResult(6, solved.name, "mine", tuple(passed), digest="d"))
    memory.save()
    assert "course lesson 7" in course("next").out
    assert "course lesson 2" in course("next", "2").out
