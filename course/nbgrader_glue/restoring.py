"""A submitted notebook put in order again: every cell that nbgrader knows is there, once, marked as it was released.

What a learner wrote stays. What a learner did to the marks (renamed, copied, deleted, changed points or versions) is
undone, from what the gradebook knows of the released notebook; so no mark in a submission can stop a batch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

Cell = Any  # a dict, or nbformat's dict that has attributes

TYPES = ("code", "markdown", "raw")


@dataclass(frozen=True, slots=True)
class Released:
    """A cell as it was released. `solution`: the learner writes in it; the others are locked."""

    grade_id: str
    cell_type: str
    source: str
    checksum: str = ""
    grade: bool = False
    solution: bool = False
    points: float | None = None
    task: bool = False

    @property
    def mark(self) -> dict[str, Any]:
        """nbgrader's metadata, schema version 3."""
        mark: dict[str, Any] = {"cell_type": self.cell_type, "grade": self.grade, "grade_id": self.grade_id}
        mark |= {"locked": not self.solution, "schema_version": 3, "solution": self.solution, "task": self.task}
        mark["checksum"] = self.checksum
        if self.points is not None:
            mark["points"] = self.points
        return mark


@dataclass(frozen=True, slots=True)
class Restored:
    """The cells in order, and what was out of order, a sentence each."""

    cells: list[Cell]
    notices: tuple[str, ...]


def restore(
    cells: Iterable[Cell], released: Sequence[Released], is_part: Callable[[str], bool] = lambda _: False
) -> Restored:
    """Put the cells of a submission in order. Changes them in place.

    released: the known cells, in order. is_part: whether a code cell holds what the solution cell should hold; used
    when that cell is gone.
    """
    return _Desk([_washed(cell) for cell in cells if isinstance(cell, dict)], released).restore(is_part)


class _Desk:
    """A submission on its way to order."""

    def __init__(self, cells: list[Cell], released: Sequence[Released]) -> None:
        self.cells = cells
        self.released = released
        self.notices: list[str] = []
        self._kept: dict[str, Cell] = {}

    def restore(self, is_part: Callable[[str], bool]) -> Restored:
        for known in self.released:
            self._keep(known, [cell for cell in self.cells if _grade_id(cell) == known.grade_id])
        self._adopt_renamed()
        self._adopt_part(is_part)
        marked = {id(cell) for cell in self._kept.values()}
        for cell in self.cells:
            if id(cell) not in marked:
                cell["metadata"].pop("nbgrader", None)
        for known in self.released:
            if known.grade_id in self._kept:
                _mark(self._kept[known.grade_id], known)
        self._insert_missing()
        return Restored(self.cells, tuple(self.notices))

    def _keep(self, known: Released, found: list[Cell]) -> None:
        """One of the cells of that name: the last in which something was written."""
        if not found:
            return
        written = [cell for cell in found if known.solution and cell["source"].strip() != known.source.strip()]
        self._kept[known.grade_id] = (written or found)[-1]
        if len(found) > 1:
            which = "the last one that was written in" if known.solution else "one of them"
            self.notices.append(f"the cell {known.grade_id} was there {len(found)} times; {which} counts.")

    def _adopt_renamed(self) -> None:
        """Cells with unknown names stand for the missing ones of their kind when there are as many of both."""
        names = {known.grade_id for known in self.released}
        for cell_type in ("code", "markdown"):
            missing = [known for known in self._missing() if known.solution and known.cell_type == cell_type]
            strangers = [cell for cell in self.cells if cell["cell_type"] == cell_type and _solution(cell)]
            strangers = [cell for cell in strangers if _grade_id(cell) not in names]
            if missing and len(missing) == len(strangers):
                for known, cell in zip(missing, strangers, strict=True):
                    self._kept[known.grade_id] = cell
                    self.notices.append(f"the cell {known.grade_id} had another name; it is the one that was renamed.")

    def _adopt_part(self, is_part: Callable[[str], bool]) -> None:
        taken = {id(cell) for cell in self._kept.values()}
        for known in self._missing():
            if known.solution and known.cell_type == "code":
                free = [cell for cell in self.cells if cell["cell_type"] == "code" and id(cell) not in taken]
                found = [cell for cell in free if is_part(cell["source"])]
                if found:
                    self._kept[known.grade_id] = found[-1]
                    self.notices.append(
                        f"the cell {known.grade_id} was gone; the last cell that defines the part counts."
                    )

    def _missing(self) -> list[Released]:
        return [known for known in self.released if known.grade_id not in self._kept]

    def _insert_missing(self) -> None:
        """Every missing cell behind the one that came before it when it was released."""
        before: Cell | None = None
        for known in self.released:
            cell = self._kept.get(known.grade_id)
            if cell is None:
                cell = type(self.cells[0])() if self.cells else {}
                cell.update({"cell_type": known.cell_type, "metadata": type(cell)(), "source": known.source})
                _mark(cell, known)
                places = [index for index, other in enumerate(self.cells) if other is before]
                self.cells.insert(places[0] + 1 if places else 0, cell)
                self.notices.append(f"the cell {known.grade_id} was missing; it was put back as it was released.")
            before = cell


def _washed(cell: Cell) -> Cell:
    """The cell with the fields that every notebook cell has, and without outputs."""
    if cell.get("cell_type") not in TYPES:
        cell["cell_type"] = "raw"
    if not isinstance(cell.get("metadata"), dict):
        cell["metadata"] = type(cell)()
    source = cell.get("source", "")
    text = "".join(map(str, source)) if isinstance(source, list) else str(source)
    cell["source"] = text.encode("utf-8", "replace").decode("utf-8")  # half a character cannot be written to a file
    _shape(cell)
    return cell


def _shape(cell: Cell) -> None:
    """A code cell has outputs, here none, and a count; no other cell has."""
    if cell["cell_type"] == "code":
        cell["outputs"], cell["execution_count"] = [], None
    else:
        cell.pop("outputs", None)
        cell.pop("execution_count", None)


def _mark(cell: Cell, known: Released) -> None:
    cell["cell_type"] = known.cell_type
    cell["metadata"]["nbgrader"] = type(cell["metadata"])(known.mark)
    if not known.solution:
        cell["source"] = known.source
    _shape(cell)


def _meta(cell: Cell) -> dict[str, Any]:
    found = cell["metadata"].get("nbgrader")
    return found if isinstance(found, dict) else {}


def _grade_id(cell: Cell) -> str:
    found = _meta(cell).get("grade_id")
    return found if isinstance(found, str) else ""


def _solution(cell: Cell) -> bool:
    return _meta(cell).get("solution") is True
