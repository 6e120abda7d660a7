"""Methods that were written in another form than the contract has them: a property as a method, a
method as a property.

Read off the text of a part once something has gone wrong, for the message; whether a law holds is
not decided here.
"""

from __future__ import annotations

import ast
import difflib
import inspect
import re
import warnings
from collections.abc import Iterable, Iterator

PROPERTIES = ("property", "cached_property")
LIKE = 0.75  # of the letters of two names, from which on one may be meant by the other
UNBOUND = ("staticmethod", "classmethod")
Function = ast.FunctionDef | ast.AsyncFunctionDef


def slip(source: str, contract: type | None, names: Iterable[str]) -> tuple[str, str]:
    """The first of `names` that is a slip, and what to do about it, in one sentence; ("", "") when
    none is.

    source: the text of a part. contract: the class of `reference_engine.slots` that it is to be
    like.
    """
    written = _class(source, contract.__name__) if contract else None
    for name in dict.fromkeys(names):
        due = inspect.getattr_static(contract, name, None)
        if (
            written is not None
            and not name.startswith("_")
            and (isinstance(due, property) or inspect.isfunction(due))
        ):
            sentence = (
                _property(written, name)
                if isinstance(due, property)
                else _method(written, name, due)
            )
            if sentence:
                return name, sentence
    return "", ""


def inside(source: str, name: str) -> str:
    """The class in which a function that belongs to the top level was written; "" when there is
    none."""
    classes = [node for node in _tree(source).body if isinstance(node, ast.ClassDef)]
    return next((each.name for each in classes if _function(each, name)), "")


def near(source: str, class_name: str, missing: str) -> str:
    """The name in a part that `missing` was most likely meant by: of a method, an attribute, or, in
    a module, a function; "" when none is like it."""
    tree = _tree(source)
    written = _class(source, class_name) if class_name else tree
    functions = [
        node.name for node in (written.body if written else ()) if isinstance(node, Function)
    ]
    stored = [
        node.attr
        for node in ast.walk(written or tree)
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
    ]
    # += of what is not there counts as stored
    names = [name for name in (*functions, *stored) if name != missing]
    return next(iter(difflib.get_close_matches(missing, names, n=1, cutoff=LIKE)), "")


def called(text: str) -> list[str]:
    """The names that a line of code or the words of an exception call as methods: "self.table(" and
    "X.table()"."""
    return re.findall(r"\.(\w+)\(", text)


def _property(written: ast.ClassDef, name: str) -> str:
    """What is wrong with something that has to be a property."""
    function = _function(written, name)
    if function is None or set(_decorators(function)) & set(PROPERTIES):
        return ""
    unbound = next((word for word in _decorators(function) if word in UNBOUND), "")
    if unbound:
        return f"`{name}` must be a property: write @property in the place of @{unbound}."
    return f"`{name}` must be a property: put @property above its def."


def _method(written: ast.ClassDef, name: str, due: object) -> str:
    """What is wrong with something that has to be an ordinary method."""
    function = _function(written, name)
    hiding = next(_assignments(written, name), None)
    if hiding is not None:
        instead = f"`self.{name}` is set in line {hiding.lineno} and hides the method"
        return f"`{name}` must be a method: {instead}; give what is stored there another name, self._{name} say."
    if function is None:
        return ""
    other = next((word for word in _decorators(function) if word in (*PROPERTIES, *UNBOUND)), "")
    if other:
        return f"`{name}` must be a method: take @{other} off its def."
    if isinstance(function, ast.AsyncFunctionDef):
        return f"`{name}` must be a method like others: write def in the place of async def."
    takes = [each.arg for each in (*function.args.posonlyargs, *function.args.args)]
    wanted = list(inspect.signature(due).parameters) if callable(due) else []
    if "self" not in takes and len(takes) < len(wanted) and not function.args.vararg:
        return f"`{name}` lacks its first parameter: write self before {takes[0] if takes else 'the closing bracket'}."
    return ""


def _class(source: str, name: str) -> ast.ClassDef | None:
    classes = [node for node in _tree(source).body if isinstance(node, ast.ClassDef)]
    return next((each for each in classes if each.name == name), None)


def _tree(source: str) -> ast.Module:
    """The syntax tree, an empty one for what is no Python."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return ast.Module(body=[], type_ignores=[])


def _function(written: ast.ClassDef, name: str) -> Function | None:
    """The last definition of that name, which is the one that counts."""
    functions = [
        node for node in written.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return next((node for node in reversed(functions) if node.name == name), None)


def _decorators(function: Function) -> list[str]:
    """Their last names: "cached_property" for functools.cached_property."""
    return [
        node.attr if isinstance(node, ast.Attribute) else getattr(node, "id", "")
        for node in function.decorator_list
    ]


def _assignments(written: ast.ClassDef, name: str) -> Iterator[ast.Attribute]:
    """Where something is stored as `self.<name>`."""
    for node in ast.walk(written):
        if (
            isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and node.attr == name
        ):
            yield from (
                [node] if isinstance(node.value, ast.Name) and node.value.id == "self" else []
            )
