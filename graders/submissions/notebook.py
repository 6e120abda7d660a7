"""A notebook as data: which of its cells is the part, whatever was done to the cells. Nothing in it
is executed.

Every way of grading asks here, so that a notebook gets the same verdict from `course check`, from a
batch and from nbgrader.
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graders.submissions.plain_text import in_utf8

Cell = Any  # a dict, or nbformat's dict that has attributes

TYPES = ("code", "markdown", "raw")
# characters of one line; a dotted name of 100,000 parts takes Python minutes to read
LONGEST = 2000
LARGEST = 256 * 1024  # bytes of one source file
MAGIC = re.compile(
    r"^([ \t]*)(%{1,2}[A-Za-z].*|!.*|\?{0,2}[A-Za-z_][\w.]*\?{1,2}[ \t]*)$", re.MULTILINE
)


@dataclass(frozen=True, slots=True)
class Found:
    """The cell that stands for a name, and what was out of order with it: one sentence or nothing."""

    cell: Cell
    notice: str = ""


@dataclass(frozen=True, slots=True)
class PartCell:
    """The text of the cell that is the part. notices: what was out of order with it. borrowed:
    names that it uses and that only another cell of the learner's defines."""

    text: str
    notices: tuple[str, ...] = ()
    borrowed: tuple[str, ...] = ()


def cells_of(notebook: bytes) -> list[Cell]:
    """The cells of a notebook of format 3 or 4, washed. ValueError for what is no notebook."""
    try:
        sheet = json.loads(in_utf8(notebook).decode("utf-8-sig"))
        if not isinstance(sheet, dict):
            raise ValueError("no notebook")
        cells = (
            sheet["cells"]
            if "cells" in sheet
            else [cell for page in sheet["worksheets"] for cell in page["cells"]]
        )
        return [washed(cell) for cell in cells if isinstance(cell, dict)]
    except (KeyError, TypeError, AttributeError, RecursionError) as wrong:
        raise ValueError("no notebook") from wrong


def cell_names(notebook: bytes) -> set[str]:
    """Everything in a notebook that may be the name of a cell; it need not be one that can be read."""
    return {
        found.decode()
        for found in re.findall(rb'"grade_id"\s*:\s*"([A-Za-z0-9_-]{1,80})"', notebook)
    }


def part_of(notebook: bytes, name: str, defines: Collection[str]) -> PartCell | None:
    """The code cell that nbgrader calls `name`, however it is called now; None when it is gone.

    defines: names of which a part defines at least one. ValueError for what is no notebook.
    """
    code = [
        cell for cell in cells_of(notebook) if cell["cell_type"] == "code" or name_of(cell) == name
    ]
    found = identify(
        code,
        [name],
        {name},
        lambda _, source: not untouched(source),
        lambda code: has(code, defines),
    )
    if name not in found:
        return None
    mine = found[name]
    text = without_magics(mine.cell["source"])
    others = [
        cell["source"]
        for cell in code
        if cell is not mine.cell and (is_solution(cell) or not name_of(cell))
    ]
    return PartCell(text, (mine.notice,) if mine.notice else (), _borrowed(text, others))


# ---------------------------------------------------------------- which cell is which


def identify(
    cells: Sequence[Cell],
    wanted: Sequence[str],
    released: Collection[str],
    is_written: Callable[[str, str], bool],
    is_part: Callable[[str], bool],
) -> dict[str, Found]:
    """The cell for each of the `wanted` names of cells to write in; cells that nothing stands for
    are left out.

    Of copies the last counts that was written in and is a part. Cells with names that were never
    `released` stand for missing ones when there are as many of both; else the last cell that is a
    part, and no locked one, does. So it does for a cell that was left as it was. is_written: told a
    name and a source.
    """
    there = {name_of(cell) for cell in cells}
    found = {name: _counting(cells, name, is_written, is_part) for name in wanted if name in there}
    missing = [name for name in wanted if name not in found]
    strangers = [cell for cell in cells if is_solution(cell) and name_of(cell) not in released]
    if len(missing) == len(strangers):
        renamed = "the cell {} had another name; it is the one that was renamed."
        found |= {
            name: Found(cell, renamed.format(name))
            for name, cell in zip(missing, strangers, strict=True)
        }
    for name in wanted:
        taken = {id(each.cell) for each in found.values()}
        free = [
            cell
            for cell in cells
            if id(cell) not in taken and (is_solution(cell) or not name_of(cell))
        ]
        parts = [cell for cell in free if is_part(cell["source"]) and name_of(cell) != name]
        written = [cell for cell in parts if is_written(name, cell["source"])]
        if name not in found and parts:
            found[name] = Found(
                parts[-1], f"the cell {name} was gone; the last cell that defines the part counts."
            )
        elif written and not is_written(name, found[name].cell["source"]):
            left = (
                f"the cell {name} was left as it was; the last cell that defines the part counts."
            )
            found[name] = Found(written[-1], left)
        elif written:
            more = f"another cell defines the part too and does not count; the cell {name} does."
            found[name] = Found(found[name].cell, f"{found[name].notice} {more}".strip())
    return found


def _counting(
    cells: Iterable[Cell],
    name: str,
    is_written: Callable[[str, str], bool],
    is_part: Callable[[str], bool],
) -> Found:
    """Of the cells of that name the last that was written in and is a part; without one, that was
    written in."""
    copies = [cell for cell in cells if name_of(cell) == name]
    written = [cell for cell in copies if is_written(name, cell["source"])]
    parts = [cell for cell in written if is_part(cell["source"])] if len(written) > 1 else []
    more = (
        f"the cell {name} was there {len(copies)} times; the last one that was written in counts."
    )
    return Found((parts or written or copies)[-1], more if len(copies) > 1 else "")


def name_of(cell: Cell) -> str:
    """nbgrader's name of a washed cell, "" for one that has none."""
    found = _marks(cell).get("grade_id")
    return found if isinstance(found, str) else ""


def is_solution(cell: Cell) -> bool:
    """Whether nbgrader's marks say that the learner writes in the cell."""
    return _marks(cell).get("solution") is True


def washed(cell: Cell) -> Cell:
    """The cell with the fields that every notebook cell has, and without outputs. Changed in place."""
    if cell.get("cell_type") not in TYPES:
        cell["cell_type"] = "raw"
    if not isinstance(cell.get("metadata"), dict):
        cell["metadata"] = type(cell)()
    source = cell.get("source", cell.get("input", ""))  # format 3 says input
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    # half a character cannot be written to a file
    cell["source"] = text.encode("utf-8", "replace").decode("utf-8")
    return shaped(cell)


def shaped(cell: Cell) -> Cell:
    """The cell with outputs, here none, and a count if it is a code cell; no other cell has them.
    Changed in place."""
    if cell["cell_type"] == "code":
        cell["outputs"], cell["execution_count"] = [], None
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)
    return cell


def _marks(cell: Cell) -> dict[str, Any]:
    found = cell["metadata"].get("nbgrader")
    return found if isinstance(found, dict) else {}


# ---------------------------------------------------------------- what is in a cell


def has(code: str, names: Collection[str]) -> bool:
    """Whether the code defines one of the names at its top level."""
    tree = _tree(code)
    if tree is None:
        return any(re.search(rf"^(class|def) {name}\b", code, re.MULTILINE) for name in names)
    return any(
        isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names
        for node in tree.body
    )


def imports(code: str, module: str) -> bool:
    """Whether the code takes something out of a module, at its top level."""
    tree = _tree(code)
    return tree is not None and any(
        isinstance(node, ast.ImportFrom) and node.module == module for node in tree.body
    )


def untouched(code: str) -> bool:
    """Whether no function of the code has a body yet: each raises NotImplementedError, or there is
    none."""
    tree = _tree(code)
    if tree is None:
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return all(_is_open(function) for function in functions)


def without_magics(code: str) -> str:
    """The code with what only a notebook understands (`%%time`, `!pip install x`, `help?`) made
    comments.

    The other lines keep their numbers. What is Python without that stays as it is.
    """
    code = f"# {code}" if code.startswith("%%") else code
    if not MAGIC.search(code) or _parsed(code) is not None:
        return code
    return MAGIC.sub(
        lambda line: f"{line[1]}pass  # {line[2]}" if line[1] else f"# {line[2]}", code
    )


def _borrowed(code: str, others: Iterable[str]) -> tuple[str, ...]:
    """The names that the code uses and nowhere binds, and that one of the other cells binds."""
    tree = _tree(code)
    if tree is None:
        return ()
    bound = _bound(tree)
    missing = _used(tree) - bound - set(dir(builtins))
    if not missing or "*" in bound:
        return ()
    trees = [tree for tree in map(_tree, others) if tree is not None]
    return tuple(sorted(missing & set().union(*(_bound(tree) for tree in trees))))


def _used(tree: ast.Module) -> set[str]:
    """The names that are looked up when the code runs; annotations are not, where they are
    postponed."""
    aside: set[int] = set()
    if any(isinstance(node, ast.ImportFrom) and node.module == "__future__" for node in tree.body):
        noted = [
            getattr(node, kind, None)
            for node in ast.walk(tree)
            for kind in ("annotation", "returns")
        ]
        aside = {id(node) for each in noted if isinstance(each, ast.AST) for node in ast.walk(each)}
    names = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)
    ]
    return {node.id for node in names if id(node) not in aside}


def _bound(tree: ast.Module) -> set[str]:
    """Every name that is bound anywhere in the code."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name.partition(".")[0])
        elif isinstance(node, ast.arg):
            found.add(node.arg)
        else:  # functions, classes, exceptions, patterns, types
            found |= {
                getattr(node, kind)
                for kind in ("name", "rest")
                if isinstance(getattr(node, kind, None), str)
            }
    return found


def _tree(code: str) -> ast.Module | None:
    return _parsed(without_magics(code))


def _parsed(code: str) -> ast.Module | None:
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
