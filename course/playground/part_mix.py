"""Whose part fills which slot: reads "mine:1,3", "solutions:2", "naive:2" or "FILE:2" and loads
what they name.

Parts named here are run in this very process: they are the learner's own, on the learner's own
machine, and nothing is graded. The graders never take this way.
"""

from __future__ import annotations

import atexit
import shlex
import tempfile
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from course.check_request import submission
from course.errors import ExitCode, Problem
from course.terminal import clean
from course.watchdog import NoAnswerInTime
from course.workspace import Workspace
from graders.registry.catalogue import Exercise, catalogue
from graders.registry.parts import PARTS, Number, part_of, simulated
from graders.submissions.submission_reader import Declared, UnusableSubmission, take
from reference_engine.guessers import guesser_of, speculator_for
from reference_engine.parts import SLOTS, PartError, PartMissing, Parts, load_part

if TYPE_CHECKING:
    from reference_engine.model import Model
    from reference_engine.speculation import Speculator


@dataclass(frozen=True, slots=True)
class PartChoice:
    """The part of one slot: `source` is how it was named, "mine", "solutions", "naive" or a file."""

    exercise: Exercise
    source: str
    path: Path

    def load(self) -> Any:
        """The class that the file defines. `Problem` when there is none."""
        try:
            return load_part(self.path, self.exercise.slot)
        except PartMissing as missing:
            if isinstance(missing.__cause__, NoAnswerInTime):
                raise missing.__cause__ from None
            raise Problem(f"{clean(str(missing))}.", ExitCode.FAIL) from missing


def choose(number: Number, source: str, place: Workspace | None) -> PartChoice:
    """The part of exercise `number` called `source`. `Problem` when it cannot be read."""
    exercise = catalogue(number)
    path, _, own = submission(exercise, source, place)
    return PartChoice(exercise, "mine" if own else source, _as_file(path, exercise))


def mix(uses: Iterable[str], place: Workspace | None) -> tuple[PartChoice, ...]:
    """One choice for each slot: as told by `uses`, the last word on a slot counting; else the
    solution.

    Nothing is guessed, and there is no choice for that slot, unless a part that guesses is named.
    One whose guesses another verifies brings it along.
    """
    sources = dict.fromkeys((part.number for part in simulated()), "solutions")
    guessing = {part.number: part.guesser for part in PARTS if part.guesser}
    for use in uses:
        source, numbers = _read(use)
        sources |= dict.fromkeys(numbers, source)
    if any(
        guessing.get(number) == "layer" and source != "naive" for number, source in sources.items()
    ):
        heads = (number for number, guesser in guessing.items() if guesser == "heads")
        sources |= {
            number: "solutions" for number in heads if sources.get(number, "naive") == "naive"
        }
    return tuple(
        choose(number, source, place)
        for number, source in sources.items()
        if source != "naive" or number not in guessing
    )


def parts(choices: Sequence[PartChoice]) -> Parts:
    """What an engine is made of."""
    return Parts(**{choice.exercise.slot: choice.load() for choice in choices})


def speculator(model: Model, parts: Parts, *, thrifty: bool = False) -> Speculator | None:
    """A fresh one for an engine of these parts, with the waiter's draft model where there is a part
    for it, else with its EAGLE layer, else with its Medusa heads; None when none of them guesses.

    thrifty: guess only while it pays, by the clock. Raises ModelError for a model that they do not
    fit.
    """
    return speculator_for(guesser_of(parts), model, parts, thrifty=thrifty)


def lookahead(choices: Sequence[PartChoice]) -> int:
    """Slots that a request needs beyond its tokens, for guesses."""
    guessers = {part_of(choice.exercise.number).guesser for choice in choices}
    if "model" in guessers:
        from reference_engine.drafting import GUESSES

        return GUESSES
    if "layer" in guessers:
        from reference_engine.eagle import NODES

        return NODES - 1
    if "heads" not in guessers:
        return 0
    from reference_engine.medusa import HEADS
    from reference_engine.medusa.tree_search import tree_for

    return len(tree_for("cpu", HEADS).choices)


@contextmanager
def told_apart(choice: PartChoice) -> Iterator[None]:
    """Whatever the part raises inside becomes a `Problem` with the learner's own frames, and no
    others."""
    try:
        yield
    except Problem:
        raise
    except (Exception, SystemExit) as error:
        cause = error.__cause__ if isinstance(error, PartError) else error
        if not isinstance(cause, NotImplementedError):
            using = "" if choice.source == "mine" else f" --using {shlex.quote(choice.source)}"
            story = f"Next: course check {choice.exercise.number}{using}"
            raise Problem(f"{blame(error, choice.path)}\n{story}", ExitCode.FAIL) from error
        number = choice.exercise.number
        story = f"Next: course lesson {number}, then course hint {number}; --using solutions shows ours, once you like."
        raise Problem(
            f"this part is not written yet: {clean(str(cause))}.\n{story}", ExitCode.FAIL
        ) from error


@contextmanager
def blamed(choices: Sequence[PartChoice]) -> Iterator[None]:
    """A `PartError` inside becomes a `Problem` that names the part, whose it is, and the lines of
    its file."""
    try:
        yield
    except PartError as error:
        choice = next((choice for choice in choices if choice.exercise.slot == error.slot), None)
        if choice is None:
            raise
        sentence = f"{choice.source}, {choice.exercise.title}: {blame(error, choice.path)}"
        advice = f"course check {choice.exercise.number}"
        raise Problem(
            f"{sentence}\nNext: {advice}" if choice.source == "mine" else sentence, ExitCode.FAIL
        ) from error


def blame(error: BaseException, path: Path) -> str:
    """What a part raised, in a line, and below it the lines of its file that led there."""
    cause = error.__cause__ if isinstance(error, PartError) and error.__cause__ else error
    frames = [
        frame for frame in traceback.extract_tb(cause.__traceback__) if Path(frame.filename) == path
    ]
    where = [f"  {path.name}:{frame.lineno} in {frame.name}: {frame.line}" for frame in frames[-5:]]
    text = (
        str(error)
        if isinstance(error, PartError)
        else f"{path.name} raised {type(error).__name__}: {error}"
    )
    if isinstance(cause, NoAnswerInTime):
        text = str(cause)
    return "\n".join([clean(text), *(clean(line) for line in where)])


def _as_file(path: Path, exercise: Exercise) -> Path:
    """`path`; of a notebook its cell to write in, as a file that is gone when this process ends."""
    if path.suffix != ".ipynb":
        return path
    try:
        taken = take(path, Declared.of(exercise))
    except UnusableSubmission as unusable:
        raise Problem(unusable.problem, ExitCode.FAIL) from None
    folder = tempfile.TemporaryDirectory(prefix="course-")
    atexit.register(folder.cleanup)
    file = Path(folder.name, taken.name)
    file.write_bytes(taken.data)
    return file


def _read(use: str) -> tuple[str, list[int]]:
    source, _, numbers = use.rpartition(":")
    try:
        seats = [int(number) for number in numbers.split(",")]
    except ValueError:
        seats = []
    known = [part.number for part in PARTS if part.slot in SLOTS]
    if not source or not seats or not set(seats) <= set(known):
        last = known[-1]
        raise Problem(
            f"{use!r} names no parts; write --use mine:1,3 (mine, solutions, naive or a file; 1 to {last})."
        )
    return source, seats
