"""A submitted file as data: read, decoded and parsed by the grader, never executed by it."""

from __future__ import annotations

import ast
import hashlib
import sys
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from graders.result import Location, Outcome
from graders.submissions.notebook import LONGEST
from graders.submissions.plain_text import decode
from graders.submissions.submission_reader import Declared, UnusableSubmission, take

__all__ = ["Submission", "UnusableSubmission", "decode", "digest", "read"]

CONTRACTS = "reference_engine.slots"
KERNELS = "reference_engine.kernels."
FORBIDDEN = ("graders", "solutions", "exercises", "course", "vllm", "sglang")


@dataclass(frozen=True, slots=True)
class Submission:
    """One file. `lines`: method or function name -> line of its def. `unwritten`: those that are
    still the stub's.

    ours: it is a solution of the course, where the course keeps them; a kit's are sealed.
    """

    name: str
    source: str
    lines: dict[str, int] = field(default_factory=dict)
    unwritten: tuple[str, ...] = ()
    ours: bool = False

    def location(self, function: str) -> Location:
        """Of a method or function; of its name alone when the file has no such def."""
        line = self.lines.get(function, 0)
        return Location(self.name if line else "", line, function)


def read(path: Path, class_name: str, declared: Declared | None = None) -> Submission:
    """The file at `path`, which must define class `class_name` (or, when that is empty, functions).
    Raises Unusable.

    declared: the file to look for when `path` is a folder, an archive or a notebook.
    """
    taken = take(path, declared)
    source = decode(taken.name, taken.data)
    _refuse_long_lines(taken.name, source)
    tree = _parse(taken.name, source)
    _refuse_answers(
        taken.name, tree, contracts_only=declared is not None and declared.contracts_only
    )
    body = tree.body if not class_name else _class(taken.name, tree, class_name).body
    functions = [node for node in body if isinstance(node, ast.FunctionDef)]
    unwritten = tuple(node.name for node in functions if _is_stub(node))
    lines = {node.name: node.lineno for node in functions}
    return Submission(taken.name, source, lines, unwritten, _is_ours(path))


def _is_ours(path: Path) -> bool:
    import solutions

    return any(path.resolve().is_relative_to(Path(home).resolve()) for home in solutions.__path__)


def digest(text: str) -> str:
    """sha256 of a part's text as `decode` gives it: the same for a file, the cell of a notebook,
    and any line ends."""
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()


def _refuse_long_lines(name: str, source: str) -> None:
    for number, line in enumerate(source.replace("\\\n", "").split("\n"), 1):
        if len(line) > LONGEST:
            raise UnusableSubmission(
                f"Line {number} of {name} has {len(line)} characters; no part needs more than {LONGEST}."
            )


def _parse(name: str, source: str) -> ast.Module:
    """The tree, not compiled: a source can be made to crash the compiler, which is then the
    worker's crash."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(source, name)
    except SyntaxError as wrong:
        line = f" in line {wrong.lineno}" if wrong.lineno else ""
        # the part may be written for a newer one
        here = f"Python {sys.version_info.major}.{sys.version_info.minor}"
        problem = f"{name} has a syntax error{line} for {here}, which judges it: {wrong.msg}."
        raise UnusableSubmission(problem, location=Location(name, wrong.lineno or 0)) from None
    except ValueError as wrong:
        raise UnusableSubmission(f"{name} is not Python source: {wrong}.") from None
    except (RecursionError, MemoryError):
        raise UnusableSubmission(f"{name} is nested too deeply to be read.") from None
    return tree


def _refuse_answers(name: str, tree: ast.Module, *, contracts_only: bool) -> None:
    for line, module in _imports(tree):
        package = module.partition(".")[0]
        engines = package == "reference_engine" and module != CONTRACTS
        if package in FORBIDDEN or f"{module}.".startswith(KERNELS) or (contracts_only and engines):
            problem = f"{name} imports {module} in line {line}; a part has to be the learner's own."
            raise UnusableSubmission(problem, Outcome.INVALID, location=Location(name, line))


def _imports(tree: ast.Module) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.lineno, node.module


def _class(name: str, tree: ast.Module, class_name: str) -> ast.ClassDef:
    """The class; when the name is bound in another way (an import, an assignment) an empty one that
    says nothing."""
    classes = {node.name: node for node in tree.body if isinstance(node, ast.ClassDef)}
    if class_name in classes:
        return classes[class_name]
    if not any(class_name in _names(node) for node in tree.body):
        others = f" (it defines {', '.join(classes)})" if classes else ""
        raise UnusableSubmission(f"{name} defines no class {class_name}{others}.")
    return ast.ClassDef(name=class_name, bases=[], keywords=[], body=[], decorator_list=[])


def _names(statement: ast.stmt) -> set[str]:
    aliases = {
        item.asname or item.name for item in ast.walk(statement) if isinstance(item, ast.alias)
    }
    return aliases | {item.id for item in ast.walk(statement) if isinstance(item, ast.Name)}


def _is_stub(function: ast.FunctionDef) -> bool:
    """Nothing but a docstring and `raise NotImplementedError`."""
    body = [node for node in function.body if not isinstance(node, ast.Expr)]
    if len(body) != 1 or not isinstance(body[0], ast.Raise) or body[0].exc is None:
        return False
    raised = body[0].exc.func if isinstance(body[0].exc, ast.Call) else body[0].exc
    return isinstance(raised, ast.Name) and raised.id == "NotImplementedError"
