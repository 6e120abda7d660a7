"""Whether the reference engine is still the one that a card was recorded beside: a digest of what
it executes."""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

SOURCES = (".py", ".cpp", ".h")
DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


@cache
def engine_digest() -> str:
    """Twelve digits that change whenever the reference engine or the solutions do; their words do
    not count."""
    import reference_engine
    import solutions

    digest = hashlib.sha256()
    for package in (reference_engine, solutions):
        home = Path(package.__path__[0])
        for path in sorted(path for path in home.rglob("*") if path.suffix in SOURCES):
            text = path.read_text(encoding="utf-8")
            digest.update(
                f"{path.relative_to(home)}\0{code(text) if path.suffix == '.py' else text}\0".encode()
            )
    return digest.hexdigest()[:12]


def code(source: str) -> str:
    """What of a Python file is executed, the same in every version of Python: no comments,
    docstrings, line breaks."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, DOCUMENTED) and ast.get_docstring(node, clean=False) is not None:
            node.body = node.body[1:]
    return told(tree)


def told(node: object) -> str:
    """A tree as `ast.dump` has it, without empty fields: some versions of Python have them, some do
    not."""
    if isinstance(node, list):
        return f"[{' '.join(map(told, node))}]"
    if not isinstance(node, ast.AST):
        return repr(node)
    # some versions put an empty text at the end of what is formatted
    if isinstance(node, ast.JoinedStr):
        node.values = [
            part
            for part in node.values
            if not (isinstance(part, ast.Constant) and part.value == "")
        ]
    fields = [
        (name, value) for name, value in ast.iter_fields(node) if value is not None and value != []
    ]
    return f"{type(node).__name__}({' '.join(f'{name}={told(value)}' for name, value in fields)})"
