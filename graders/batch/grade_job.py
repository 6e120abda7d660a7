"""The verdict on one job: what can be judged side by side first, then what must be timed alone; and
its way to disk."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import msgspec

from graders.batch.device_lock import shared, timed_device
from graders.batch.jobs import UNKNOWN, GradeJob, Options, seed_of
from graders.grading import grade
from graders.registry.catalogue import catalogue
from graders.registry.law import Law, choose, unmet
from graders.registry.parts import Number
from graders.result import ExerciseResult, LawResult, Outcome, Reason, completed


class Unreadable(ValueError):
    """What should be a stored result is none."""


def judge(job: GradeJob, path: Path, options: Options, salt: int) -> ExerciseResult:
    """Grade the file at `path`."""
    if job.problem:
        return without_a_try(
            job, job.problem, Outcome(job.blame or Outcome.FAIL), laws_only=options.laws_only
        )
    seed, short, only = seed_of(job.key, salt), options.laws_only, options.only
    return decide(
        job.exercise,
        path,
        seed,
        laws_only=short,
        require=options.require,
        source=job.name,
        only=only,
    )


def decide(
    exercise: Number,
    path: Path,
    seed: int | None,
    *,
    laws_only: bool,
    require: str,
    source: str = "",
    only: tuple[str, ...] = (),
) -> ExerciseResult:
    """Grade one part for marks, where others grade too: the timed laws run with nothing beside them
    on their device.

    It is theirs from the first sample to the last: whoever takes long to load, or to die, does so
    beside others.

    No story names the command that replays it: it would name the seed, and students read stories.
    """
    with shared():
        first = grade(
            exercise,
            path,
            seed=seed,
            only=only or None,
            laws_only=True,
            source=source,
            require=require,
        )
    timed = [
        law for law in choose(catalogue(exercise).laws, only or None) if law.kind == "throughput"
    ]
    first = dataclasses.replace(first, laws=tuple(map(_without_replay, first.laws)))
    if laws_only or not timed:
        return first
    outcomes = {law.number: law.outcome for law in first.laws}
    ready = [law for law in timed if not first.problem and not unmet(law, outcomes)]
    if not ready:
        return _joined(first, [_skipped(law, unmet(law, outcomes)) for law in timed])
    with shared() as place:
        numbers, device = [law.number for law in ready], timed_device()
        second = grade(
            exercise,
            path,
            seed=first.seed,
            only=numbers,
            source=source,
            require=require,
            alone=lambda: place.alone(device),
        )
    others = [_skipped(law, unmet(law, outcomes)) for law in timed if law not in ready]
    return _joined(first, [*map(_without_replay, second.laws), *others], second)


def without_a_try(
    job: GradeJob, reason: str, outcome: Outcome = Outcome.UNGRADED, *, laws_only: bool = False
) -> ExerciseResult:
    """The result when there was nothing to try: the first law carries the reason, the others are
    skipped.

    What a person has to decide about is ungraded, for that reason.
    """
    why = Reason.PERSON if job.problem and outcome is Outcome.UNGRADED else Reason.LAW
    if job.exercise == UNKNOWN:
        law = LawResult(
            "0.0", "handed in", "A part is handed in.", outcome, 0.0, 0.0, reason, reason=why
        )
        return ExerciseResult(
            UNKNOWN, "unknown", job.name, (law,), isolation="none", problem=reason
        )
    exercise = catalogue(job.exercise)
    rest = outcome if outcome is Outcome.UNGRADED else Outcome.SKIPPED
    laws = [
        LawResult(
            law.number,
            law.name,
            law.statement,
            rest if done else outcome,
            0.0,
            law.points,
            reason,
            reason=why,
        )
        for done, law in enumerate(choose(exercise.laws, laws_only=laws_only))
    ]
    return ExerciseResult(
        exercise.number, exercise.name, job.name, tuple(laws), isolation="none", problem=reason
    )


def pack(result: ExerciseResult) -> bytes:
    """The bytes a result is stored as."""
    return json.dumps(result.to_json(), sort_keys=True).encode()


def unpack(data: bytes) -> ExerciseResult:
    """The result again. Raises Unreadable for anything else."""
    try:
        plain: dict[str, Any] = json.loads(data)
        plain["laws"] = [completed(law) for law in plain["laws"]]
        return msgspec.convert(plain, ExerciseResult)
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        msgspec.ValidationError,
        RecursionError,
    ) as wrong:
        raise Unreadable(str(wrong)) from None


def _joined(
    first: ExerciseResult, laws: list[LawResult], second: ExerciseResult | None = None
) -> ExerciseResult:
    """Both halves as one result, laws in order, at the lower isolation of the two."""
    order = {law.number: place for place, law in enumerate(catalogue(first.exercise).laws)}
    every = sorted((*first.laws, *laws), key=lambda law: order[law.number])
    whole = dataclasses.replace(first, laws=tuple(every))
    if second is None:
        return whole
    return dataclasses.replace(
        whole,
        figures=first.figures + second.figures,
        isolation=min(first.isolation, second.isolation),
        advisory=first.advisory or second.advisory,
        seconds=first.seconds + second.seconds,
        problem=first.problem or second.problem,
    )


def _without_replay(law: LawResult) -> LawResult:
    return (
        dataclasses.replace(law, story=dataclasses.replace(law.story, replay=""))
        if law.story
        else law
    )


def _skipped(law: Law, missing: tuple[str, ...]) -> LawResult:
    reason = f"needs {', '.join(missing)} first" if missing else "not tried"
    return LawResult(law.number, law.name, law.statement, Outcome.SKIPPED, 0.0, law.points, reason)
