"""The answers stay away: what a worker can read of the course, level by level, and what lies in its
process."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

import graders
from graders.registry.catalogue import Exercise, exercises
from graders.sandbox import fakes
from graders.sandbox.isolation import LEVELS, CannotStart
from graders.sandbox.isolation.limits import Limits
from graders.sandbox.isolation.visible_files import contents
from graders.sandbox.worker import Worker

ROOT = Path(graders.__path__[0]).parent
READER = """
import os


class BlockManager:
    def __init__(self, *_):
        pass

    def readable(self, *paths):
        return [path for path in paths if reads(path)]


def reads(path):
    try:
        with open(path, "rb") as file:
            return bool(file.read(1))
    except OSError:
        return False
"""


def answers() -> list[Path]:
    """Every file of the course that tells how a part is judged or written, and the environment of
    this process."""
    # runs in the worker itself
    beside = (ROOT / "graders/sandbox/guest", ROOT / "graders/sandbox/isolation/inside")
    found = [
        path for home in ("solutions", "graders") for path in sorted((ROOT / home).rglob("*.py"))
    ]
    found = [path for path in found if not any(path.is_relative_to(folder) for folder in beside)]
    found += [
        *(ROOT / "reference_engine/kernels").glob("*.py"),
        ROOT / "reference_engine/oracle.py",
        *(ROOT / "reference_engine/__pycache__").glob("oracle.*"),
    ]
    return [*found, Path(f"/proc/{os.getpid()}/environ"), Path(f"/proc/{os.getpid()}/mem")]


@pytest.fixture(
    params=[(level, packages) for level in LEVELS[1:] for packages in (False, True)], ids=str
)
def reader(request: pytest.FixtureRequest) -> Iterator[Worker]:
    """A worker at each level from L2 on, where it can be had; where it cannot, the next lower one.
    With torch, too."""
    wanted, packages = request.param
    for level in reversed(LEVELS[: LEVELS.index(wanted) + 1]):
        try:
            worker = Worker(level, Limits(packages=packages))
        except CannotStart:
            continue
        with worker:
            yield worker
        return


def readable(worker: Worker, paths: list[Path]) -> list[str]:
    assert worker.ask("load", slot="block_manager", file="reader.py", source=READER) == {}
    assert worker.ask("new", slot="block_manager", args=[2, 1], keywords={}) == {}
    answer = worker.ask("call", calls=[["readable", [str(path) for path in paths]]], watch=None)
    return [item["s"] for item in answer["calls"][0]["r"]]


def test_from_l2_on_no_answer_can_be_read(reader: Worker) -> None:
    assert len(answers()) > 100
    assert reader.level == "L1" or readable(reader, answers()) == []


def test_from_l2_on_the_engine_can_be_read(reader: Worker) -> None:
    """Or the test above shows nothing."""
    assert readable(reader, [ROOT / "reference_engine/slots.py"])


def test_a_part_that_is_asked_what_the_engine_counts_sees_its_contracts_alone() -> None:
    every = sorted((ROOT / "reference_engine").rglob("*.*"))
    with Worker(limits=Limits(contracts=True)) as worker:
        found = readable(worker, every)
    contracts = [str(ROOT / "reference_engine" / name) for name in ("__init__.py", "slots.py")]
    assert worker.level == "L1" or found == contracts


def test_at_l1_the_answers_are_open_and_the_grader_is_not() -> None:
    with Worker("L1", without=["uid", "seccomp"]) as worker:
        found = readable(worker, answers())
    assert str(ROOT / "graders/registry/law.py") in found
    assert not [path for path in found if path.startswith("/proc/")]


def test_bytecode_of_the_oracle_that_is_yet_to_be_written_is_hidden_too() -> None:
    hidden = contents(Limits()).hidden
    assert any(path.endswith(".pyc") and "/oracle." in path for path in hidden)


# ---------------------------------------------------------------- what lies in the process


@pytest.mark.parametrize("exercise", exercises(), ids=lambda entry: entry.slot)
def test_no_stand_in_is_sent_for_the_slot_that_is_checked(exercise: Exercise) -> None:
    assert exercise.slot not in fakes.texts(exercise.slot, [exercise.slot])


def test_a_slot_that_is_filled_needs_no_stand_in() -> None:
    assert set(fakes.texts("scheduler", ["block_manager", "scheduler"])) == {"prefix_cache"}


def test_what_a_worker_holds_of_the_course_defines_no_part() -> None:
    """The folder that every worker sees: a class with the name and methods of a part would be an
    answer."""
    methods = {"BlockManager": "admit", "Scheduler": "plan", "PrefixCache": "evict"}
    for path in sorted((ROOT / "graders/sandbox/guest").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef) and node.name in methods:
                assert methods[node.name] not in {
                    item.name for item in node.body if isinstance(item, ast.FunctionDef)
                }
