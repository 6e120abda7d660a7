"""Copies are found whatever is renamed, reordered or added; parts of another design are not;
nothing is decided."""

from __future__ import annotations

import ast
import csv
import io
import random
from pathlib import Path

import pytest

from course.targets import solution_file, stub_of
from graders.registry.catalogue import exercises
from graders.reports.similarity import FLAGGED, Written, alike, fingerprints, render

BASES = Path(__file__).parents[3] / "bases"
DESIGNS = {1: "queue", 2: "sorted_lists", 3: "block_trie"}


class Renamed(ast.NodeTransformer):
    """Other names, numbers and annotations, and functions in another order."""

    def visit_Name(self, node: ast.Name) -> ast.Name:
        node.id = f"v{sum(map(ord, node.id))}"
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.arg, node.annotation = f"v{sum(map(ord, node.arg))}", None
        return node

    def visit_Attribute(self, node: ast.Attribute) -> ast.Attribute:
        self.generic_visit(node)
        node.attr = f"a{sum(map(ord, node.attr))}"
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        random.Random(3).shuffle(node.body)
        return node


def solved(number: int) -> str:
    return solution_file(exercises()[number - 1]).read_text(encoding="utf-8")


def disguised(text: str) -> str:
    return "# mine, all of it\n" + ast.unparse(Renamed().visit(ast.parse(text)))


def compared(number: int, *texts: str) -> dict[tuple[str, str], float]:
    parts = [Written(f"student {place}", number, text) for place, text in enumerate(texts)]
    parts.append(Written("the solution", number, solved(number), ours=True))
    return {
        (each.one, each.other): each.share
        for each in alike(parts, {number: stub_of(exercises()[number - 1])})
    }


@pytest.mark.parametrize("number", [1, 2, 3, 4])
def test_a_disguised_copy_of_the_solution_is_flagged(number: int) -> None:
    assert compared(number, disguised(solved(number)))["student 0", "the solution"] >= 0.95


def test_two_students_who_share_a_part_are_flagged_beside_each_other() -> None:
    text = (BASES / "ex1" / f"{DESIGNS[1]}.py").read_text()
    found = compared(1, text, disguised(text))
    assert found["student 0", "student 1"] >= 0.95


@pytest.mark.parametrize("number", DESIGNS)
def test_a_right_part_of_another_design_is_not_flagged(number: int) -> None:
    text = (BASES / f"ex{number}" / f"{DESIGNS[number]}.py").read_text()
    assert all(share < FLAGGED for share in compared(number, text).values())


def test_a_stub_and_what_is_no_python_say_nothing() -> None:
    stub = stub_of(exercises()[0])
    assert compared(1, stub, stub, "def broken(:", "\0") == {}
    assert fingerprints("def f(:") == frozenset()


def test_half_a_copy_is_shown() -> None:
    tree = ast.parse(solved(3))
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef) and node.name == "PrefixCache":
            node.body = node.body[: len(node.body) // 2]
    assert compared(3, ast.unparse(tree))["student 0", "the solution"] >= 0.9  # of what there is


def test_the_table_holds_no_formula_and_no_lookalike() -> None:
    parts = [Written(name, 3, solved(3)) for name in ("=1+1", "bob", "bob ")]
    table = list(csv.reader(io.StringIO(render(alike(parts, {})))))
    assert not [cell for line in table for cell in line if cell.startswith("=")]
    assert {line[1] for line in table[1:]} | {line[2] for line in table[1:]} == {
        "'=1+1",
        "bob",
        "bob\N{OPEN BOX}",
    }
    assert all(line[4] == "yes" for line in table[1:])
