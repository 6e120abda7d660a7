"""The product's own source as data: its modules, what each of them imports, and the circles that
imports make."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("course", "graders", "reference_engine", "solutions", "exercises")
Graph = Mapping[str, set[str]]


@cache
def modules() -> dict[str, Path]:
    """Every module by its full name; a package by its own."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


@cache
def tree(module: str) -> ast.Module:
    """Its syntax tree."""
    return ast.parse(modules()[module].read_text(encoding="utf-8"))


@cache
def imports(module: str) -> frozenset[str]:
    """The product's modules that a module imports: at its top, inside functions, and for types
    alone."""
    named: set[str] = set()
    for node in ast.walk(tree(module)):
        if isinstance(node, ast.Import):
            named |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = _base(module, node)
            named |= {base, *(f"{base}.{alias.name}" for alias in node.names)}
    known = {_known(name) for name in named}
    return frozenset(
        name for name in known if name and name != module and not _is_behind(name, known)
    )


def _base(module: str, node: ast.ImportFrom) -> str:
    """The full name of what a `from` names; relative ones start at the module's package."""
    if not node.level:
        return node.module or ""
    home = module.split(".") if modules()[module].name == "__init__.py" else module.split(".")[:-1]
    return ".".join([*home[: len(home) - node.level + 1], *([node.module] if node.module else [])])


def _known(name: str) -> str:
    """The module of that name; what a worker's code calls `guest` is a room of the graders. "" for
    others' modules."""
    for full in (name, f"graders.{name}", f"graders.sandbox.{name}"):
        if full in modules():
            return full
    return ""


def _is_behind(name: str, known: Iterable[str]) -> bool:
    """Whether a package is named only because one of its modules is: `from graders import wire`."""
    return modules()[name].name == "__init__.py" and any(
        other.startswith(f"{name}.") for other in known
    )


def rooms(folder: str) -> dict[str, set[str]]:
    """What lies in a package, folders and loose modules alike, and which of them import from which."""
    inside = {
        module: _room(folder, module) for module in modules() if module.startswith(f"{folder}.")
    }
    graph: dict[str, set[str]] = {room: set() for room in inside.values()}
    for module, room in inside.items():
        graph[room] |= {inside[other] for other in imports(module) if other in inside} - {room}
    return graph


def folders() -> list[str]:
    """Every package that has modules, outermost first."""
    homes = {module.rpartition(".")[0] for module in modules()} - {""}
    return sorted(homes, key=lambda name: (name.count("."), name))


def _room(folder: str, module: str) -> str:
    return ".".join(module.split(".")[: folder.count(".") + 2])


def circles(graph: Graph) -> list[tuple[str, ...]]:
    """Groups whose members all reach one another; none of one member."""
    reach = {node: set(_reached(graph, node)) for node in graph}
    groups = {
        tuple(sorted(other for other in reach[node] if node in reach[other])) for node in graph
    }
    return sorted(group for group in groups if len(group) > 1)


def _reached(graph: Graph, start: str) -> Iterator[str]:
    """Everything that can be got to from a node by at least one arrow."""
    seen: set[str] = set()
    waiting = list(graph.get(start, ()))
    while waiting:
        node = waiting.pop()
        if node not in seen:
            seen.add(node)
            yield node
            waiting += graph.get(node, ())
