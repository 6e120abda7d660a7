"""What `course check` was asked for: which laws, of whose part, beside which companions."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from course.active_file import in_use
from course.errors import Problem
from course.targets import learner_file, naive_file, readable, solution_file
from course.workspace import Workspace
from graders.registry.catalogue import Exercise, exercises
from graders.registry.law import Law, choose
from graders.result import ExerciseResult, LawResult

if TYPE_CHECKING:
    from graders.sandbox.worker_prestart import Prestarted

OnLaw = Callable[[LawResult], None]


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """A check to be made. laws: those to be tried, all when there are none.

    `source` is how the first line names the part; the marks of an `own` part are remembered.
    """

    exercise: Exercise
    laws: tuple[Law, ...]
    submission: Path
    source: str
    own: bool
    others: str = "solutions"
    home: Path | None = None  # the learner's exercises, for others == "mine"
    laws_only: bool = False
    seed: int | None = None
    require: str = "L1"
    beside: Path | None = None  # the workspace, which may hold an instructor's bounds and cards
    live: bool = False

    @property
    def tried(self) -> tuple[Law, ...]:
        """The laws that will be tried, in order."""
        return choose(
            self.exercise.laws, [law.number for law in self.laws] or None, laws_only=self.laws_only
        )

    def only(self, laws: Sequence[Law]) -> CheckRequest:
        """The same for these laws alone."""
        return replace(self, laws=tuple(laws))

    def again(self, number: str) -> str:
        """The command that checks law `number` of the same part."""
        return f"course check {number}{self.options}"

    @property
    def options(self) -> str:
        """The options that name the part and its companions, as typed after `course check 1.4`."""
        using = "" if self.own else f" --using {shlex.quote(self.source)}"
        return using + ("" if self.others == "solutions" else f" --with {self.others}")


def submission(exercise: Exercise, using: str, place: Workspace | None) -> tuple[Path, str, bool]:
    """The file to judge, how to name it, and whether it is the learner's own. `Problem` when it
    cannot be read.

    "mine" is the file of the exercise, or the notebook beside it if that alone was written in.
    """
    if using == "solutions":
        return solution_file(exercise), using, False
    if using == "naive":
        return naive_file(exercise), using, False
    if using != "mine":
        path = readable(Path(using), "--using takes solutions, naive or the path of a file.")
        own = (
            place is not None
            and path.resolve() == in_use(learner_file(place, exercise), exercise).resolve()
        )
        return path, place.shown(path) if place and own else using, own
    if place is None:
        raise Problem(
            "there are no exercises here; `course init kitchen` copies them into the folder `kitchen`."
        )
    path = in_use(learner_file(place, exercise), exercise)
    shown = place.shown(path)
    readable(path, f"`course reset {exercise.number}` puts the stub there.", shown)
    return path, shown, True


def judge(
    request: CheckRequest,
    on_law: OnLaw | None,
    progress: Callable[[str], None] | None = None,
    *,
    ready: Prestarted | None = None,
    until_broken: bool = False,
) -> ExerciseResult:
    """The verdict. Every law is handed to `on_law` as soon as it is known; `progress` hears what
    takes so long.

    ready, until_broken: see `graders.grading.grade`.
    """
    from graders import grade

    result = grade(
        request.exercise.number,
        request.submission,
        seed=request.seed,
        only=[law.number for law in request.laws] or None,
        laws_only=request.laws_only,
        others=os.fspath(request.home)
        if request.others == "mine" and request.home
        else request.others,
        on_law=on_law,
        source=request.source,
        require=request.require,
        progress=progress,
        beside=request.beside,
        live=request.live,
        ready=ready,
        until_broken=until_broken,
    )
    return replace(result, laws=tuple(_replayable(law, request) for law in result.laws))


def companions_to_blame(request: CheckRequest, law: LawResult, seed: int) -> bool:
    """Whether a law that broke beside the learner's other parts holds among the solutions."""
    if request.others == "solutions" or request.exercise.law(law.number).kind == "unit":
        return False
    alone = replace(
        request, laws=(request.exercise.law(law.number),), others="solutions", seed=seed
    )
    return judge(alone, None).passed


def companions_home(others: str, exercise: Exercise, place: Workspace | None) -> Path | None:
    """The folder of the learner's exercises when they are the companions. `Problem` when a part
    cannot be read."""
    if others != "mine":
        return None
    for each in exercises():
        if each.timed_in and each.number != exercise.number:
            submission(each, "mine", place)
    return place.exercises if place else None


def _replayable(law: LawResult, request: CheckRequest) -> LawResult:
    """The law with the command that shows its story again, for the very part that was judged."""
    if law.story is None or not law.story.replay:
        return law
    return replace(law, story=replace(law.story, replay=law.story.replay + request.options))
