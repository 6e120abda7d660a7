"""A notebook as data: which of its cells is the part, whatever was done to the cells. Nothing in it is executed.

Every way of grading asks here, so that a notebook gets the same verdict from `course check`, from a batch and from
nbgrader.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Cell = Any  # a dict, or nbformat's dict that has attributes

TYPES = ("code", "markdown", "raw")
LONGEST = 2000  # characters of one line; a dotted name of 100,000 parts takes Python minutes to read
LARGEST = 256 * 1024  # bytes of one source file
MAGIC = re.compile(r"^([ \t]*)(%{1,2}[A-Za-z].*|!.*|\?{0,2}[A-Za-z_][\w.]*\?{1,2}[ \t]*)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Found:
    """The cell that stands for a name, and what was out of order with it: one sentence or nothing."""

    cell: Cell
    notice: str = ""


def cells_of(notebook: bytes) -> list[Cell]:
    """The cells of a notebook of format 3 or 4, washed. ValueError for what is no notebook."""
    try:
        sheet = json.loads(notebook.decode("utf-8-sig"))
        if not isinstance(sheet, dict):
            raise ValueError("no notebook")
        cells = sheet["cells"] if "cells" in sheet else [cell for page in sheet["worksheets"] for cell in page["cells"]]
        return [washed(cell) for cell in cells if isinstance(cell, dict)]
    except (KeyError, TypeError, AttributeError, RecursionError) as wrong:
        raise ValueError("no notebook") from wrong


def cell_names(notebook: bytes) -> set[str]:
    """Everything in a notebook that may be the name of a cell; it need not be one that can be read."""
    return {found.decode() for found in re.findall(rb'"grade_id"\s*:\s*"([A-Za-z0-9_-]{1,80})"', notebook)}


def part_of(notebook: bytes, name: str, defines: Collection[str]) -> str | None:
    """The text of the code cell that nbgrader calls `name`, however it is called now; None when it is gone.

    defines: names of which a part defines at least one. ValueError for what is no notebook.
    """
    code = [cell for cell in cells_of(notebook) if cell["cell_type"] == "code" or name_of(cell) == name]
    found = identify(code, [name], {name}, lambda _, source: not untouched(source), lambda code: has(code, defines))
    return without_magics(found[name].cell["source"]) if name in found else None


# ---------------------------------------------------------------- which cell is which


def identify(
    cells: Sequence[Cell],
    wanted: Sequence[str],
    released: Collection[str],
    is_written: Callable[[str, str], bool],
    is_part: Callable[[str], bool],
) -> dict[str, Found]:
    """The cell for each of the `wanted` names of cells to write in; cells that nothing stands for are left out.

    Of copies the last that was written in counts. Cells with names that were never `released` stand for missing ones
    when there are as many of both; else the last cell that is a part, and no locked one, does. is_written: told a name
    and a source.
    """
    there = {name_of(cell) for cell in cells}
    found = {name: _counting(cells, name, is_written) for name in wanted if name in there}
    missing = [name for name in wanted if name not in found]
    strangers = [cell for cell in cells if is_solution(cell) and name_of(cell) not in released]
    if len(missing) == len(strangers):
        renamed = "the cell {} had another name; it is the one that was renamed."
        found |= {name: Found(cell, renamed.format(name)) for name, cell in zip(missing, strangers, strict=True)}
    for name in wanted:
        taken = {id(each.cell) for each in found.values()}
        free = [cell for cell in cells if id(cell) not in taken and (is_solution(cell) or not name_of(cell))]
        parts = [cell for cell in free if is_part(cell["source"])]
        if name not in found and parts:
            found[name] = Found(parts[-1], f"the cell {name} was gone; the last cell that defines the part counts.")
    return found


def _counting(cells: Iterable[Cell], name: str, is_written: Callable[[str, str], bool]) -> Found:
    """Of the cells of that name the last that was written in."""
    copies = [cell for cell in cells if name_of(cell) == name]
    written = [cell for cell in copies if is_written(name, cell["source"])]
    more = f"the cell {name} was there {len(copies)} times; the last one that was written in counts."
    return Found((written or copies)[-1], more if len(copies) > 1 else "")


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
    cell["source"] = text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be written to a file
    return shaped(cell)


def shaped(cell: Cell) -> Cell:
    """The cell with outputs, here none, and a count if it is a code cell; no other cell has them. Changed in place."""
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
    return any(isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name in names for node in tree.body)


def untouched(code: str) -> bool:
    """Whether no function of the code has a body yet: each raises NotImplementedError, or there is none."""
    tree = _tree(code)
    if tree is None:
        return False
    functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    return all(_is_open(function) for function in functions)


def without_magics(code: str) -> str:
    """The code with what only a notebook understands (`%%time`, `!pip install x`, `help?`) made comments.

    The other lines keep their numbers. What is Python without that stays as it is.
    """
    code = f"# {code}" if code.startswith("%%") else code
    if not MAGIC.search(code) or _parsed(code) is not None:
        return code
    return MAGIC.sub(lambda line: f"{line[1]}pass  # {line[2]}" if line[1] else f"# {line[2]}", code)


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
