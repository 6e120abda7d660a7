"""Which code of a submitted notebook is the part, and the file it becomes."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass

from graders.catalogue import Exercise, exercises
from graders.intake import LARGEST
from graders.submission import LONGEST

FUNCTIONS = frozenset(
    {"build_tree", "propose", "verify_greedy", "verify_typical", "compact"}
)  # exercise 4 has no class


@dataclass(frozen=True, slots=True)
class Part:
    """The text to be graded and where it was found, in words."""

    text: str
    found: str


def exercise_of(slug: str) -> Exercise | None:
    """The exercise whose notebook or assignment is called `slug`, if there is one."""
    return next((exercise for exercise in exercises() if exercise.slug == slug), None)


def defines(exercise: Exercise, code: str) -> bool:
    """Whether the code defines, at its top level, what the file of this exercise has to define."""
    wanted = {exercise.class_name} if exercise.class_name else FUNCTIONS
    tree = _tree(without_magics(code))
    if tree is None:
        return any(re.search(rf"^(class|def) {name}\b", code, re.MULTILINE) for name in wanted)
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in wanted for node in tree.body)


def newest(exercise: Exercise, inputs: Iterable[str]) -> str | None:
    """The last of the inputs that defines the part."""
    return next((code for code in reversed(list(inputs)) if defines(exercise, code)), None)


def choose(exercise: Exercise, cell: str | None, beside: str | None) -> Part:
    """The part: the cell if anything is written in it, else the file beside the notebook, else the cell as it is."""
    if beside is not None and (cell is None or untouched(cell)) and not untouched(beside):
        return Part(beside, f"the file {exercise.file_name} beside the notebook")
    if cell is None:
        return Part("", "nowhere: the solution cell is gone")
    return Part(without_magics(cell), "the solution cell")


def untouched(code: str) -> bool:
    """Whether no function of the code has a body yet: each raises NotImplementedError, or there is none."""
    tree = _tree(code)
    if tree is None:
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return all(_is_open(function) for function in functions)


def without_magics(code: str) -> str:
    """The code with a first line such as `%%writefile x.py` made a comment; the other lines keep their numbers."""
    return f"# {code}" if code.startswith("%%") else code


def _tree(code: str) -> ast.Module | None:
    """The syntax tree; None when there is none, or when reading it would take long."""
    if len(code) > LARGEST or any(len(line) > LONGEST for line in code.split("\n")):
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _is_open(function: ast.FunctionDef) -> bool:
    last = function.body[-1]
    if not isinstance(last, ast.Raise) or last.exc is None:
        return False
    raised = last.exc.func if isinstance(last.exc, ast.Call) else last.exc
    before = function.body[:-1]
    return (
        isinstance(raised, ast.Name)
        and raised.id == "NotImplementedError"
        and all(isinstance(node, ast.Expr) for node in before)
    )
