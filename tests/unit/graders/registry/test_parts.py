"""An exercise or a lab is an entry of the table and its own folders: another one just works."""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from local_worker import LocalWorker
from source_tree import imports, modules, tree

import graders.checking.workers
import graders.exercises
from course.authoring.generate import generate
from course.targets import target
from graders.grading import grade
from graders.registry import parts
from graders.registry.catalogue import catalogue, exercises
from graders.result import Outcome
from graders.submissions.submission_reader import Declared

TABLE = "graders.registry.parts"
FOLDER = r"\b(ex|lab)\d+_[a-z]"
TOYS = [
    parts.Part(9, "counting", "ex9_counter", "counter", "Counter"),
    parts.Part("lab9", "counting", "lab9_counter", "counter", "Counter"),
]
SOLUTION = '''"""A counter."""

from __future__ import annotations


class Counter:
    """Counts."""

    def up(self) -> int:
        """One more than the last time."""
        ### BEGIN SOLUTION
        self.count = getattr(self, "count", 0) + 1
        return self.count
        ### END SOLUTION
'''
LAWS = """
from graders.registry.law import LawBook

LAWS = LawBook(exercise={number!r})


@LAWS.law("one by one", statement="up adds one.", points=3, hints=("where", "idea", "code"))
def one_by_one(context):
    from graders.checking.call_recorder import CallRecorder

    recorder = CallRecorder(context, "counter", "counter")
    recorder.new((), {{}}, "Counter()")
    for due in (1, 2, 3):
        reply, _ = recorder.call("up", (), "up()")
        if reply.value != due:
            recorder.broken("it does not count", got=str(reply.value), expected=str(due))
"""
DRIVER = """
def new(worker_parts, args, keywords):
    return worker_parts.parts["counter"].Counter(*args, **keywords)


def call(part, method, args):
    return getattr(part, method)(*args)


def seen(part, watch):
    return None
"""


@pytest.fixture(params=TOYS, ids=lambda toy: toy.short)
def toy(request: pytest.FixtureRequest) -> parts.Part:
    found: parts.Part = request.param
    return found


@pytest.fixture
def project(toy: parts.Part, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folders of another exercise or lab, and its entry in the table."""
    LocalWorker()  # from here on the worker's code can be imported as `guest`
    for path, text in (
        (f"exercises/{toy.slug}/__init__.py", ""),
        (f"exercises/{toy.slug}/laws.py", LAWS.format(number=toy.number)),
        ("guest/counter.py", DRIVER),
        (f"project/solutions/{toy.slug}/counter.py", SOLUTION),
        (
            f"project/solutions/{toy.slug}/README.md",
            "# Counting\n\n<!-- laws -->\n<!-- end of laws -->\n",
        ),
        (f"project/solutions/{toy.slug}/questions.md", ""),
        ("wrong.py", SOLUTION.replace("+ 1", "+ 2")),
    ):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    guest = importlib.import_module("guest")
    monkeypatch.setattr(
        graders.exercises, "__path__", [*graders.exercises.__path__, str(tmp_path / "exercises")]
    )
    monkeypatch.setattr(guest, "__path__", [*guest.__path__, str(tmp_path / "guest")])
    monkeypatch.setattr(parts, "PARTS", (*parts.PARTS, toy))
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    catalogue.cache_clear()
    yield tmp_path
    catalogue.cache_clear()
    for name in (
        f"graders.exercises.{toy.slug}",
        f"graders.exercises.{toy.slug}.laws",
        "guest.counter",
        "counter",
    ):
        sys.modules.pop(name, None)


def test_another_exercise_is_listed_typed_and_graded(toy: parts.Part, project: Path) -> None:
    assert [exercise.number for exercise in exercises()][-1] == toy.number
    assert target(f"{toy.number}.1").exercise.points == 3
    lab = isinstance(toy.number, str)
    assert Declared.of(catalogue(toy.number)) == Declared(
        "counter.py", f"exercises/{toy.slug}", "counter", ("Counter",), lab
    )
    right = grade(toy.number, project / "project" / "solutions" / toy.slug / "counter.py")
    assert [law.outcome for law in right.laws] == [Outcome.PASS]
    (law,) = grade(toy.number, project / "wrong.py").laws
    assert law.outcome is Outcome.FAIL and law.story is not None


def test_another_exercise_gets_its_stub_its_lesson_and_its_notebook(
    toy: parts.Part, project: Path
) -> None:
    made = {file.path.as_posix() for file in generate(project / "project")}
    folder = f"exercises/{toy.slug}"
    assert {f"{folder}/counter.py", f"{folder}/README.md", f"{folder}/{toy.slug}.ipynb"} <= made


def outside(*own: str, holding: str) -> Iterator[str]:
    """Modules of course, graders and engine whose text has that pattern, but for the table and the
    rooms named."""
    for module, path in modules().items():
        if (
            module.partition(".")[0] in ("course", "graders", "reference_engine")
            and module != TABLE
        ):
            mine = f"{module}.".startswith(tuple(f"{room}." for room in own))
            if not mine and re.search(holding, path.read_text(encoding="utf-8")):
                yield module


def words(module: str) -> frozenset[str]:
    """The strings of a module, docstrings apart."""
    nodes = list(ast.walk(tree(module)))
    docs = {id(node.value) for node in nodes if isinstance(node, ast.Expr)}
    strings = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in docs]
    return frozenset(node.value for node in strings if isinstance(node.value, str))


def test_no_module_but_the_table_names_a_folder_of_an_exercise() -> None:
    for module in outside(holding=FOLDER):
        named = [word for word in words(module) if re.search(FOLDER, word)]
        assert not named, f"{module} names {named}"


def test_rules_of_an_exercise_are_imported_in_its_own_files_alone() -> None:
    """Its laws, and the drawing that the table names."""
    own = {f"course.drawings.{part.drawing}" for part in parts.PARTS}
    for module in outside("graders.exercises", *own, holding="exercises"):
        named = [name for name in imports(module) if name.startswith("graders.exercises.")]
        assert not named, f"{module} imports {named}"


def test_nothing_outside_the_engine_and_its_drivers_decides_by_a_slot() -> None:
    """Those are the rooms that a part of that slot has files in, and the options that other engines
    call so; a way to guess that engines are raced by is called like its part."""
    own = {f"course.drawings.{part.drawing}" for part in parts.PARTS}
    rooms = (
        "graders.exercises",
        "graders.sandbox",
        "graders.simulation",
        "graders.engines.adapters",
    )
    rooms += ("graders.experiments",)  # which make engines of their own
    rooms += ("graders.engines.catalogue", "graders.engines.launch_config")
    slots = {part.slot for part in parts.PARTS}
    for module in outside(*rooms, "reference_engine", *own, holding="|".join(slots)):
        assert not slots & words(module), module


def test_nothing_is_listed_by_the_numbers_of_the_exercises() -> None:
    every = [part.number for part in parts.PARTS if isinstance(part.number, int)]
    rooms = ("graders.exercises", "graders.sandbox", "graders.simulation", "reference_engine")
    rooms += ("graders.experiments", "course.labs")  # whose numbers are those of experiments
    for module in outside(*rooms, holding=r"(?s)\b1\b.*\b2\b.*\b3\b.*\b4\b"):
        for node in ast.walk(tree(module)):
            items = (
                node.elts
                if isinstance(node, ast.Tuple | ast.List | ast.Set)
                else getattr(node, "keys", [])
            )
            if isinstance(items, list):
                assert [getattr(item, "value", None) for item in items] != every, (
                    f"{module}:{node.lineno}"
                )
