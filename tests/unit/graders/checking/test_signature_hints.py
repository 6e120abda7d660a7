"""A method in another form than the contract has it is named as that, with what to write in its
place."""

from __future__ import annotations

from pathlib import Path

import pytest
from local_worker import LocalWorker
from wrong_parts import first_broken

import graders.checking.random_cases
import graders.checking.workers
import solutions
from graders import grade
from graders.checking.signature_hints import called, inside, slip
from graders.registry.catalogue import catalogue
from reference_engine import slots

BODY = "class Scheduler:\n{members}"


def told(members: str, *names: str) -> str:
    return slip(BODY.format(members=members), slots.Scheduler, names)[1]


@pytest.mark.parametrize(
    ("members", "name", "says"),
    [
        (
            "    def idle(self): ...",
            "idle",
            "`idle` must be a property: put @property above its def.",
        ),
        (
            "    @staticmethod\n    def idle(): ...",
            "idle",
            "write @property in the place of @staticmethod.",
        ),
        (
            "    @property\n    def plan(self): ...",
            "plan",
            "`plan` must be a method: take @property off its def.",
        ),
        (
            "    @functools.cached_property\n    def plan(self): ...",
            "plan",
            "take @cached_property off its def.",
        ),
        (
            "    @classmethod\n    def add(cls, request): ...",
            "add",
            "take @classmethod off its def.",
        ),
        ("    @staticmethod\n    def add(request): ...", "add", "take @staticmethod off its def."),
        (
            "    def add(request): ...",
            "add",
            "`add` lacks its first parameter: write self before request.",
        ),
        ("    def plan(): ...", "plan", "write self before the closing bracket."),
        ("    async def plan(self): ...", "plan", "write def in the place of async def."),
        (
            "    def __init__(self):\n        self.plan = []",
            "plan",
            "`self.plan` is set in line 3 and hides the method",
        ),
    ],
)
def test_a_slip_is_named_with_what_to_write(members: str, name: str, says: str) -> None:
    assert says in told(members, name)


@pytest.mark.parametrize(
    "members",
    [
        "    @property\n    def idle(self): ...\n    def plan(self): ...\n    def add(this, request): ...",
        "    def _plan(self): ...",
        "    def plan(self",  # no Python
        "    def plan(*args): ...",
    ],
)
def test_what_keeps_the_contract_is_no_slip(members: str) -> None:
    assert told(members, "idle", "plan", "add", "_plan", "no_such_method", "__init__") == ""


def test_the_methods_that_a_line_and_an_exception_call_are_found() -> None:
    assert called("needed = self.blocks_needed(seq, n) + X.table() missing 1 argument") == [
        "blocks_needed",
        "table",
    ]


@pytest.mark.parametrize(
    ("exercise", "old", "new", "says", "due"),
    [
        (
            1,
            "    @property\n    def num_free",
            "    def num_free",
            "`num_free` must be a property",
            "a property num_free",
        ),
        (
            1,
            "    def table(",
            "    @property\n    def table(",
            "`table` must be a method",
            "a method table(self, seq)",
        ),
        (
            1,
            "self._tables",
            "self.table",
            "hides the method; give what is stored there",
            "a method table(self, seq)",
        ),
        (
            1,
            "    def blocks_needed(",
            "    @property\n    def blocks_needed(",
            "`blocks_needed` must be a method",
            "a meth",
        ),
        (
            2,
            "    @property\n    def idle",
            "    def idle",
            "`idle` must be a property: put @property",
            "a property idle",
        ),
        (
            2,
            "    @property\n    def idle",
            "    @staticmethod\n    def idle",
            "in the place of @static",
            "a property idle",
        ),
        (
            2,
            "    @property\n    def idle",
            "    def ideal",
            "There is no `idle`",
            "a property idle",
        ),
        (
            2,
            "    def plan(self)",
            "    @property\n    def plan(self)",
            "`plan` must be a method",
            "a method plan(self)",
        ),
        (
            3,
            "    @property\n    def evictable",
            "    @classmethod\n    def evictable",
            "in the place of @class",
            "a prop",
        ),
    ],
)
def test_the_first_law_that_meets_a_slip_says_so(
    exercise: int,
    old: str,
    new: str,
    says: str,
    due: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    monkeypatch.setattr(graders.checking.random_cases, "SHRINKING", 0.0)
    entry = catalogue(exercise)
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    assert old in text
    path = tmp_path / entry.file_name
    path.write_text(text.replace(old, new), encoding="utf-8")
    broken = first_broken(path, exercise)
    assert broken is not None
    assert broken.story is not None
    assert says in broken.message
    assert broken.story.expected.startswith(due)


@pytest.mark.parametrize(
    ("old", "new", "says", "where"),
    [
        (
            "    return Tree(",
            "    Tree(",
            "`build_tree` returned nothing; is a return missing?",
            "(build_tree)",
        ),
        (
            "    return Tree(",
            "    return dict(",
            "`build_tree` returned a dict, which has no `parent`.",
            "(build_tree)",
        ),
        (
            "def build_tree(",
            "class Mine:\n  def build_tree(",
            "it stands in class Mine, take it out.",
            "build_tree",
        ),
        (
            "def build_tree(",
            "def tree_of(",
            "There is no `build_tree`: module 'medusa' has no",
            "build_tree",
        ),
    ],
)
def test_a_function_that_is_missing_or_returns_something_else_is_told_apart(
    old: str, new: str, says: str, where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graders.checking.workers, "Worker", LocalWorker)
    entry = catalogue(4)
    text = Path(solutions.__path__[0], entry.slug, entry.file_name).read_text(encoding="utf-8")
    assert text.count(old) == 1
    path = tmp_path / entry.file_name
    path.write_text(text.replace(old, new), encoding="utf-8")
    (law,) = grade(4, path, seed=1, only=["4.1"]).laws
    assert says in law.message
    assert law.story is not None
    assert law.story.where.endswith(where)


def test_what_an_object_lacks_is_not_looked_for_in_other_classes() -> None:
    source = "class Pool:\n    def free(self): ...\nclass BlockManager:\n    pass\n"
    assert inside(source, "free") == "Pool"
    assert slip(source, slots.BlockManager, ["free"]) == ("", "")
