"""A submitted notebook put in order again: every cell that nbgrader knows is there, once, marked as it was released.

What a learner wrote stays. What a learner did to the marks (renamed, copied, deleted, changed points or versions) is
undone, from what the gradebook knows of the released notebook; so no mark in a submission can stop a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from graders.submissions.notebook import Cell, has, identify, name_of, shape, untouched, washed


@dataclass(frozen=True, slots=True)
class ReleasedCell:
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
class RestoredCells:
    """The cells in order, and what was out of order, a sentence each."""

    cells: list[Cell]
    notices: tuple[str, ...]


def restore(cells: Iterable[Cell], released: Sequence[ReleasedCell], defines: Collection[str] = ()) -> RestoredCells:
    """Put the cells of a submission in order. Changes them in place.

    released: the known cells, in order. defines: names of which an exercise's part defines at least one; by them it is
    known when its cell is gone. None for a notebook that is no exercise's.
    """
    return _Restoration([washed(cell) for cell in cells if isinstance(cell, dict)], released).restore(defines)


class _Restoration:
    """A submission whose cells are being put in order."""

    def __init__(self, cells: list[Cell], released: Sequence[ReleasedCell]) -> None:
        self.cells = cells
        self.released = released
        self.notices: list[str] = []
        self._kept: dict[str, Cell] = {}

    def restore(self, defines: Collection[str]) -> RestoredCells:
        for known in self.released:
            if not known.solution:
                self._keep_locked(known)
        for cell_type in ("code", "markdown"):
            self._find_solutions(cell_type, defines)
        marked = {id(cell) for cell in self._kept.values()}
        for cell in self.cells:
            if id(cell) not in marked:
                cell["metadata"].pop("nbgrader", None)
        for known in self.released:
            if known.grade_id in self._kept:
                _mark(self._kept[known.grade_id], known)
        self._insert_missing()
        return RestoredCells(self.cells, tuple(self.notices))

    def _keep_locked(self, known: ReleasedCell) -> None:
        found = [cell for cell in self.cells if name_of(cell) == known.grade_id]
        if found:
            self._kept[known.grade_id] = found[-1]
        if len(found) > 1:
            self.notices.append(f"the cell {known.grade_id} was there {len(found)} times; one of them counts.")

    def _find_solutions(self, cell_type: str, defines: Collection[str]) -> None:
        """The cells of a type that the learner wrote in, found as every way of grading finds them."""
        wanted = {each.grade_id: each for each in self.released if each.solution and each.cell_type == cell_type}
        locked = {id(cell) for cell in self._kept.values()}
        cells = [cell for cell in self.cells if cell["cell_type"] == cell_type or name_of(cell) in wanted]
        cells = [cell for cell in cells if id(cell) not in locked]

        def is_written(name: str, source: str) -> bool:
            if cell_type == "code" and defines:
                return not untouched(source)
            return source.strip() != wanted[name].source.strip()

        def is_part(source: str) -> bool:
            return cell_type == "code" and has(source, defines)

        names = {known.grade_id for known in self.released}
        for name, found in identify(cells, list(wanted), names, is_written, is_part).items():
            self._kept[name] = found.cell
            self.notices += [found.notice] if found.notice else []

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


def _mark(cell: Cell, known: ReleasedCell) -> None:
    cell["cell_type"] = known.cell_type
    cell["metadata"]["nbgrader"] = type(cell["metadata"])(known.mark)
    if not known.solution:
        cell["source"] = known.source
    shape(cell)
