"""What the wire costs: both ways, with all that is checked on it, against what is timed across it."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import pytest

import graders.worker
import solutions
from graders import grade
from graders.catalogue import catalogue
from graders.isolation import Limits
from graders.throughput.room import Room, Timed
from graders.throughput.workloads import Trace
from graders.worker import Worker

EXERCISE = 2  # its guests arrive one by one: a question for each step of the engine, the most there are


def round_trip() -> float:
    """Seconds for a question and its answer, of a worker that has the engine and nothing to do."""
    spent = []
    with Worker(limits=Limits(packages=True)) as worker:
        worker.ask("driver", slot="throughput", cpu=120, wall=300)
        for _ in range(300):
            start = time.perf_counter()
            worker.ask("driver", slot="throughput")
            spent.append(time.perf_counter() - start)
    return statistics.median(spent)


@pytest.mark.slow
def test_the_wire_adds_less_than_two_percent_to_a_timed_run(monkeypatch: pytest.MonkeyPatch) -> None:
    asked, timed, ask, serve = [], [], Worker.ask, Room.serve

    def asking(worker: Worker, do: str, **fields: object) -> object:
        asked.append(do)
        return ask(worker, do, **fields)  # type: ignore[arg-type]

    def serving(room: Room, trace: Trace) -> Timed:
        before = len(asked)
        served = serve(room, trace)
        timed.append((len(asked) - before, served.seconds))
        return served

    monkeypatch.setattr(graders.worker.Worker, "ask", asking)
    monkeypatch.setattr(Room, "serve", serving)
    entry = catalogue(EXERCISE)
    laws = [law.number for law in entry.laws if law.kind == "throughput"]
    assert grade(EXERCISE, Path(solutions.__path__[0], entry.slug, entry.file_name), only=laws).passed
    monkeypatch.undo()
    questions, seconds = (sum(values) for values in zip(*timed, strict=True))
    assert questions * round_trip() < 0.02 * seconds
