"""Imports go one way: between the packages, between the rooms of each, and between modules."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from source_tree import circles, folders, imports, modules, rooms, tree

ARROWS = {
    "course": {"graders", "reference_engine", "solutions"},
    # of the solutions, where they lie: they fill the other slots
    "graders": {"reference_engine", "solutions"},
    "reference_engine": set(),
    "solutions": {"reference_engine"},
    "exercises": {"reference_engine"},
}
CONTRACTS = "reference_engine.slots"  # all that a learner's part may know of the engine

# Rooms that import each other today, each with what dissolves it.
KNOWN_CIRCLES = {
    ("reference_engine.llama", "reference_engine.memory", "reference_engine.model"): (
        "the model moves to its sizes and weights"
    ),
    (
        "reference_engine.backends",
        "reference_engine.engine",
        "reference_engine.gpu",
        "reference_engine.medusa",
        "reference_engine.model_loader",
    ): "suites and training, which need a whole engine, leave the rooms that the engine is made of",
}


def test_no_module_reaches_itself_by_imports() -> None:
    assert circles({module: set(imports(module)) for module in modules()}) == []


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_packages_import_one_way(package: str) -> None:
    for module in modules():
        if module.partition(".")[0] == package:
            others = {name.partition(".")[0] for name in imports(module)} - {package}
            assert others <= ARROWS[package], f"{module} imports {others - ARROWS[package]}"


@pytest.mark.parametrize("package", ["solutions", "exercises"])
def test_parts_know_the_contracts_alone(package: str) -> None:
    for module in modules():
        if module.partition(".")[0] == package:
            assert {name for name in imports(module) if not name.startswith(package)} <= {
                CONTRACTS
            }, module


@pytest.mark.parametrize("folder", folders())
def test_rooms_import_one_way(folder: str) -> None:
    assert [group for group in circles(rooms(folder)) if group not in KNOWN_CIRCLES] == []


def test_a_known_circle_that_is_gone_is_taken_off_the_list() -> None:
    found = {group for folder in folders() for group in circles(rooms(folder))}
    assert set(KNOWN_CIRCLES) <= found


def test_circles_are_found_whichever_way_round() -> None:
    graph = {"a": {"b"}, "b": {"c"}, "c": {"a", "d"}, "d": {"e"}, "e": set(), "f": {"f"}}
    assert circles(graph) == [("a", "b", "c")]


def test_imports_of_functions_and_types_count() -> None:
    assert "graders.grading" in imports("graders")  # inside a function, and for types
    assert tree("graders").body


# ---------------------------------------------------------------- what is private stays so

OWN = {"self", "cls"}
PRIVATE_TO_OTHERS = {
    "os._exit": "its name in the standard library",
    "sys._current_frames": "its name in the standard library",
    "self._llm._executor": "what TensorRT-LLM calls the process with the weights; it has no call that tells them",
    "self._network.config._attn_implementation": "what transformers calls the kernels it runs with",
    "torch._C": "torch's compiled kernels have no other name",
    "torch._C._has_mkldnn": "likewise",
    "torch.ops.mkldnn._linear_pointwise": "likewise",
    "torch.ops.mkldnn._reorder_linear_weight": "likewise",
    "script._here": "another script, in a method of scripts",
    "script._repeat": "another script, in a method of scripts",
}


@pytest.mark.parametrize("package", sorted(ARROWS))
def test_nobody_reads_what_is_private_to_another_object(package: str) -> None:
    found = set()
    for module in modules():
        if module.partition(".")[0] == package:
            found |= {
                f"{module}: {read}"
                for read in _private(tree(module))
                if read not in PRIVATE_TO_OTHERS
            }
    assert not found


def _private(module: ast.Module) -> Iterator[str]:
    """`owner._name`, where the owner is not the object whose method it stands in."""
    for node in ast.walk(module):
        if (
            isinstance(node, ast.Attribute)
            and node.attr.startswith("_")
            and not node.attr.startswith("__")
        ):
            owner = ast.unparse(node.value)
            if owner not in OWN and owner != "super()":
                yield f"{owner}.{node.attr}"


@pytest.mark.parametrize("package", ["course", "graders", "reference_engine"])
def test_no_method_is_found_by_a_private_name_made_of_words_and_nothing_is_hidden_in_an_objects_dict(
    package: str,
) -> None:
    for module in modules():
        if module.partition(".")[0] == package and module not in LOOKS_INSIDE:
            for node in ast.walk(tree(module)):
                if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                    hidden = node.func.id == "getattr" and ast.unparse(node.args[1]).startswith(
                        "'_' +"
                    )
                    assert not hidden and node.func.id != "vars", f"{module}:{node.lineno}"


# The seal of the sandbox looks into every class, to see whether the part changed one.
LOOKS_INSIDE = {"graders.sandbox.guest.tamper_check"}
