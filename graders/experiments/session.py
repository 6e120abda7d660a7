"""A lab as a list of tasks: tried one after the other, kept after each, gone on with after Ctrl-C."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from graders.experiments.results import Finished, LabResults, LabSetup

Say = Callable[[str], None]
Keep = Callable[[LabResults], None]


@dataclass(frozen=True, slots=True)
class Task:
    """A part of a lab that is done as a whole or not at all. about: for the one who waits."""

    key: str
    about: str
    run: Callable[[], Finished]


def begin(setup: LabSetup, tasks: Sequence[Task], earlier: LabResults | None) -> LabResults:
    """What to go on with: `earlier`, where it is unfinished and of the same setup; else nothing
    yet."""
    keys = tuple(task.key for task in tasks)
    if (
        earlier is None
        or earlier.complete
        or earlier.tasks != keys
        or setup.difference(earlier.setup)
    ):
        return LabResults(setup, keys)
    return earlier


def go_on(results: LabResults, tasks: Sequence[Task], *, keep: Keep, say: Say) -> LabResults:
    """Try every task that is not finished; `keep` is given the results after each.

    What cannot be done is a failure of its task, and the others go on. KeyboardInterrupt goes
    through: what is finished was kept.
    """
    for number, task in enumerate(tasks, 1):
        if task.key in results.finished:
            say(f"{number} of {len(tasks)}: {task.about}: kept from before")
            continue
        say(f"{number} of {len(tasks)}: {task.about}")
        results = results.but(task.key, _tried(task, say))
        keep(results)
    return results


def _tried(task: Task, say: Say) -> Finished:
    """What a task left; where a model does not fit, a part breaks or a file is missing, the
    sentence."""
    from graders.engines.engine_protocol import EngineFailed
    from reference_engine.model import ModelError
    from reference_engine.parts import PartError, PartMissing

    try:
        return task.run()
    except (
        ModelError,
        PartError,
        PartMissing,
        EngineFailed,
        ValueError,
        RuntimeError,
        OSError,
    ) as error:
        told = str(error) or type(error).__name__
    except MemoryError:
        told = "there is too little memory for it"
    say(f"  left out: {told}")
    return Finished(failures={task.key: told})
