"""What a learner does next: which exercise and law are open, and what there is to type."""

from __future__ import annotations

from course.active_file import current_digest, in_use, is_untouched
from course.progress import Progress
from course.targets import learner_file
from course.workspace import Workspace
from graders.registry.catalogue import Exercise, exercises
from graders.registry.law import Law
from graders.registry.parts import place
from graders.result import Outcome
from reference_engine.parts import SLOTS


def open_exercise(memory: Progress, behind: Exercise | None = None) -> Exercise | None:
    """The first exercise that is not solved yet; of those behind another one first."""
    unsolved = [each for each in exercises() if each.laws and not memory.passed(each.number)]
    later = (each for each in unsolved if behind and place(each.number) > place(behind.number))
    return next(later, unsolved[0] if unsolved else None)


def exercise_in_work(home: Workspace, memory: Progress) -> Exercise | None:
    """What is begun and not solved, the last that was written in; else the first unsolved one after
    what was solved last. None when everything is solved."""
    begun = _written(home)
    unsolved = [each for each in begun if not memory.passed(each.number)]
    return unsolved[0] if unsolved else open_exercise(memory, begun[0] if begun else None)


def _written(home: Workspace) -> list[Exercise]:
    """The exercises that are begun, solved or not, the last written one first."""
    written = [
        (file.stat().st_mtime, exercise)
        for exercise in exercises()
        if exercise.laws
        for file in [in_use(learner_file(home, exercise), exercise)]
        if file.is_file() and not is_untouched(file, exercise)
    ]
    return [exercise for _, exercise in sorted(written, key=lambda each: each[0], reverse=True)]


def open_law(exercise: Exercise, memory: Progress, home: Workspace | None = None) -> Law | None:
    """The first law that does not hold, as far as is known of the text in `home`; of laws that need
    no clock first."""
    laws = sorted(exercise.laws, key=lambda law: (law.kind == "throughput", law.order))
    held = held_laws(exercise, memory, home)
    return next((law for law in laws if law not in held), None)


def held_laws(exercise: Exercise, memory: Progress, home: Workspace | None) -> list[Law]:
    """The laws that held when they were last tried, on the text in `home` if it was."""
    if not memory.judged(exercise.number):
        return []
    now = current_digest(learner_file(home, exercise), exercise) if home else ""
    return [
        law for law in exercise.laws if memory.outcome(law.number, law.name, now) is Outcome.PASS
    ]


def whole_engine() -> str:
    """All of a learner's parts that an engine is made of, as `--use` takes them."""
    return "mine:" + ",".join(str(each.number) for each in exercises() if each.timed_in)


def after_pass(exercise: Exercise, memory: Progress) -> list[str]:
    """What there is to do once every law of an exercise holds: command, and what it is for."""
    number = exercise.number
    served = [
        (
            f"run --use mine:{number}",
            "your part serves guests, beside the engine before anyone improved it",
        ),
        (f"serve --use mine:{number}", "the same behind an address, for any client"),
    ]
    measured = [
        (exercise.title, "the experiment: what you have predicted, measured on this machine")
    ]
    steps = [
        *(served if exercise.slot in SLOTS else measured if isinstance(number, str) else []),
        (f"solution {number}", "our way, to compare with"),
        (f"explain {number}", "the questions, to be answered in plain words"),
    ]
    following = open_exercise(memory, exercise)
    if following is not None:
        steps.insert(0, (f"lesson {following.number}", f"{following.title}, {following.name}"))
    else:
        steps.insert(0, (f"run --use {whole_engine()}", "everything is solved: your whole engine"))
        steps.append(("certificate", "a page of your verdicts"))
    return [f"course {command:<22} {what}" for command, what in steps]
