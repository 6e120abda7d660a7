"""What the course remembers of a learner, in one JSON file that outlives updates:
`.course/progress.json`.

The file is replaced in one step (write, fsync, rename), so that an interruption or a full disk
leaves the old one whole. Fields this version does not know are carried along. A law's mark holds
for the law's name: when an update puts another law under the same number, the mark no longer
counts. A verdict belongs to the text it was given for: those on the latest texts are kept beside
the marks, so that a text that is back has its verdicts again.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from course.terminal import console
from graders.registry.catalogue import catalogue
from graders.registry.parts import Number, exercise_of
from graders.result import ExerciseResult, LawResult, Outcome

FORMAT = 1
TEXTS = 20  # of an exercise whose verdicts are kept; so many more of those for which every law held
FILE = "progress.json"


class NotSaved(Exception):
    """One sentence on why the progress file could not be written; whatever it held before is still
    there."""


@dataclass
class Progress:
    """The remembered state; `notice` is a sentence for the learner about what happened on loading,
    or empty."""

    path: Path | None
    data: dict[str, Any] = field(default_factory=dict)
    notice: str = ""
    frozen: bool = False  # written by a newer version: read it, never write it
    # since it was loaded
    changes: list[tuple[Callable[..., None], tuple[Any, ...]]] = field(default_factory=list)

    def outcome(self, law: str, name: str, digest: str = "") -> Outcome | None:
        """What became of law "1.4" when it was last checked, if the law of that name was.

        On the text with this digest, if it was ever judged on that.
        """
        mark = self._on_text(law, name, digest) or self._mark(law, name)
        return Outcome(mark["outcome"]) if mark else None

    def judged(self, exercise: Number) -> bool:
        """Whether any law of the exercise was ever tried."""
        return any(self._exercise(exercise).get(kept) for kept in ("laws", "texts"))

    def old(self, law: str, name: str, digest: str) -> bool:
        """Whether the law was judged, but not on the text with this digest."""
        return not self._on_text(law, name, digest) and self.told_of_another(law, name, digest)

    def told_of_another(self, law: str, name: str, digest: str) -> bool:
        """Whether the law's last verdict, with its story, is about another text than the one with
        this digest."""
        return bool(self._mark(law, name).get("digest", digest) != digest)

    def failure(self, law: str, name: str) -> dict[str, Any]:
        """What was told when the law was broken: "message" and "story", as plain data; empty when
        it was not."""
        told = self._mark(law, name).get("failure")
        return told if isinstance(told, dict) else {}

    def passed(self, exercise: Number) -> bool:
        """Every law of the exercise was passed in one check, once."""
        return self._exercise(exercise).get("passed") is True

    def gave_up(self, exercise: Number) -> bool:
        return self._exercise(exercise).get("gave_up") is True

    def hint_level(self, law: str) -> int:
        """The highest hint given for this law, 0 for none."""
        level = self._part(self._exercise(exercise_of(law)), "hints").get(law, 0)
        return level if isinstance(level, int) else 0

    def record(self, result: ExerciseResult) -> None:
        """Remember the marks of a check of the learner's own part; laws that were not judged keep
        their old mark.

        The exercise counts as passed once every law of the catalogue was passed in one check. A law
        that was broken keeps its story, which `course story` writes as a script.
        """
        self.changes.append((Progress.record, (result,)))
        exercise = self._exercise(result.exercise)
        if result.passed and len(result.laws) == len(catalogue(result.exercise).laws):
            exercise["passed"] = True
        laws = self._part(exercise, "laws")
        judged = [law for law in result.laws if law.outcome is not Outcome.UNGRADED]
        for law in judged:
            mark: dict[str, Any] = {
                "name": law.name,
                "outcome": law.outcome.value,
                "digest": result.digest,
            }
            if law.story is not None:
                mark["failure"] = {"message": law.message, "story": asdict(law.story)}
            laws[law.number] = mark
        if result.digest and judged:
            self._record_text(result.exercise, result.digest, judged)

    def _record_text(self, number: Number, digest: str, judged: Sequence[LawResult]) -> None:
        """Keep the verdicts with the text. A law that was skipped leaves an earlier verdict on the
        same text."""
        texts = self._texts(number)
        new: dict[str, Any] = {"digest": digest, "laws": {}}
        text = next((each for each in texts if each["digest"] == digest), new)
        for law in judged:
            known = text["laws"].get(law.number)
            if law.outcome is not Outcome.SKIPPED or not _is_mark(known, law.name):
                text["laws"][law.number] = {"name": law.name, "outcome": law.outcome.value}
        texts = [*(each for each in texts if each is not text), text]
        whole = [_holds(each["laws"], number) for each in texts]
        late = [
            each
            for place, each in enumerate(texts)
            if sum(other == whole[place] for other in whole[place:]) <= TEXTS
        ]
        self._exercise(number)["texts"] = late

    def record_hint(self, law: str, level: int) -> None:
        self.changes.append((Progress.record_hint, (law, level)))
        hints = self._part(self._exercise(exercise_of(law)), "hints")
        hints[law] = max(level, self.hint_level(law))

    def record_gave_up(self, exercise: Number) -> None:
        self.changes.append((Progress.record_gave_up, (exercise,)))
        self._exercise(exercise)["gave_up"] = True

    def forget_marks(self, exercise: Number) -> None:
        """After a reset the marks of the old file say nothing of the new one; hints and having
        passed stay.

        So do the verdicts on texts: they count again once the text is back.
        """
        self.changes.append((Progress.forget_marks, (exercise,)))
        self._exercise(exercise).pop("laws", None)

    def save(self) -> None:
        """Write the file in one step. `NotSaved` with the reason when that does not work.

        What other commands have remembered meanwhile stays: the changes are made to the file as it
        is now.
        """
        if self.path is None or self.frozen:
            return
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with _alone(self.path.parent):
                now = load(self.path.parent)
                if now.frozen:
                    return
                for change, arguments in self.changes:
                    change(now, *arguments)
                self.data = now.data
                self.data["format"] = FORMAT
                replace_file(self.path, json.dumps(self.data, indent=1, sort_keys=True) + "\n")
        except OSError as error:
            raise NotSaved(
                f"Your progress could not be saved in {self.path}: {error.strerror or error}."
            ) from error

    def save_or_say(self) -> None:
        """Write the file; where that does not work, say why on stderr, and nothing else is lost."""
        try:
            self.save()
        except NotSaved as trouble:
            console(stderr=True).print(str(trouble), style="yellow", soft_wrap=True)

    def _mark(self, law: str, name: str) -> dict[str, Any]:
        """The mark of law "1.4", empty when the law of that name has none."""
        mark = self._part(self._exercise(exercise_of(law)), "laws").get(law)
        return mark if _is_mark(mark, name) else {}

    def _on_text(self, law: str, name: str, digest: str) -> dict[str, Any]:
        """The mark of law "1.4" on one text, empty when that has none."""
        texts = self._texts(exercise_of(law)) if digest else []
        mark = next((each["laws"].get(law) for each in texts if each["digest"] == digest), None)
        return mark if _is_mark(mark, name) else {}

    def _texts(self, number: Number) -> list[dict[str, Any]]:
        """The texts of an exercise that were judged, the latest last, each with its digest and its
        marks."""
        texts = self._exercise(number).get("texts")
        kept = [each for each in texts if isinstance(each, dict)] if isinstance(texts, list) else []
        return [each for each in kept if isinstance(each.get("laws"), dict) and "digest" in each]

    def _exercise(self, number: Number) -> dict[str, Any]:
        return self._part(self._part(self.data, "exercises"), str(number))

    @staticmethod
    def _part(parent: dict[str, Any], key: str) -> dict[str, Any]:
        if not isinstance(parent.get(key), dict):
            parent[key] = {}
        part: dict[str, Any] = parent[key]
        return part


def _is_mark(mark: Any, name: str) -> TypeGuard[dict[str, Any]]:
    """Whether this is a mark of the law of that name."""
    return (
        isinstance(mark, dict) and mark.get("name") == name and mark.get("outcome") in list(Outcome)
    )


def _holds(marks: dict[str, Any], number: Number) -> bool:
    """Whether every law of the exercise has held."""
    return all(
        _is_mark(mark := marks.get(law.number), law.name) and mark["outcome"] == Outcome.PASS.value
        for law in catalogue(number).laws
    )


def load(memory: Path | None) -> Progress:
    """The progress kept in folder `memory`. A broken file is moved aside and the notice says where
    to."""
    if memory is None:
        return Progress(None)
    path = memory / FILE
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Progress(path)
    except OSError as error:
        return Progress(
            path,
            notice=f"Your progress in {path} cannot be read: {error.strerror or error}.",
            frozen=True,
        )
    except (ValueError, RecursionError):
        return _set_aside(path)
    if not isinstance(data, dict) or not isinstance(data.get("format"), int):
        return _set_aside(path)
    if data["format"] > FORMAT:
        newer = f"{path} was written by a newer version of the course; it is read, but nothing is added to it."
        return Progress(path, data, newer, frozen=True)
    return Progress(path, data)


def forget(memory: Path, exercise: Number) -> None:
    """Forget the marks of an exercise whose file was exchanged; a progress file that cannot be
    written stays."""
    known = load(memory)
    known.forget_marks(exercise)
    with contextlib.suppress(NotSaved):
        known.save()


@contextlib.contextmanager
def _alone(memory: Path) -> Iterator[None]:
    """While no other command of the course writes there; on a disk that knows no locks, at once."""
    folder = os.open(memory, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def replace_file(path: Path, text: str) -> None:
    """Put `text` in place of `path` in one step: the old content stays whole if anything goes wrong
    (`OSError`)."""
    name = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with name.open("w", encoding="utf-8", errors="replace", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(name, path)
    finally:
        with contextlib.suppress(OSError):
            os.unlink(name)  # it is there only if something went wrong


def _set_aside(path: Path) -> Progress:
    number = 1
    while (aside := path.with_name(f"{path.name}.broken-{number}")).exists():
        number += 1
    try:
        os.rename(path, aside)
    except OSError as error:
        reason = f"{path} is damaged and could not be moved aside ({error.strerror}); nothing is added to it."
        return Progress(path, notice=reason, frozen=True)
    return Progress(
        path, notice=f"Your progress file was damaged; it was moved to {aside} and a new one begun."
    )
