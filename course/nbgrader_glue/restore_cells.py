"""A submitted notebook put in order again: every cell that nbgrader knows is there, once, marked as
it was released.

What is left is the released notebook with what the learner wrote in its places, answers in words as
literal text: other people open it. What a learner did to the marks (renamed, copied, deleted,
changed points or versions) is undone, from what the gradebook knows of the released notebook; so no
mark in a submission can stop a batch.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from course.nbgrader_glue.literal_text import literal
from graders.submissions.notebook import Cell, has, identify, name_of, shaped, untouched, washed

# of an answer that was gone: whether there is one elsewhere a person has to see
PUT_BACK = "course_put_back"


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
        mark: dict[str, Any] = {
            "cell_type": self.cell_type,
            "grade": self.grade,
            "grade_id": self.grade_id,
        }
        mark |= {
            "locked": not self.solution,
            "schema_version": 3,
            "solution": self.solution,
            "task": self.task,
        }
        mark["checksum"] = self.checksum
        if self.points is not None:
            mark["points"] = self.points
        return mark


@dataclass(frozen=True, slots=True)
class RestoredCells:
    """The cells in order, and what was out of order, a sentence each."""

    cells: list[Cell]
    notices: tuple[str, ...]


def restore(
    cells: Iterable[Cell],
    released: Sequence[ReleasedCell],
    defines: Collection[str] = (),
    page: Iterable[Cell] = (),
) -> RestoredCells:
    """Put the cells of a submission in order.

    released: the known cells, in order. defines: names of which an exercise's part defines at least
    one; by them it is known when its cell is gone. None for a notebook that is no exercise's. page:
    the cells of the released notebook, washed; what stands between the known ones is taken from
    there. Of a submission nothing survives but the text of the cells to write in: no other cell, no
    metadata, no attachment.
    """
    return _Restoration(
        [washed(cell) for cell in cells if isinstance(cell, dict)], released
    ).restore(defines, page)


class _Restoration:
    """A submission whose cells are being put in order."""

    def __init__(self, cells: list[Cell], released: Sequence[ReleasedCell]) -> None:
        self.cells = cells
        self.released = released
        self.notices: list[str] = []
        self._kept: dict[str, Cell] = {}

    def restore(self, defines: Collection[str], page: Iterable[Cell]) -> RestoredCells:
        for known in self.released:
            if not known.solution:
                self._keep_locked(known)
        for cell_type in ("code", "markdown"):
            self._find_solutions(cell_type, defines)
        for known in self.released:
            if known.grade_id not in self._kept:
                missing = (
                    f"the cell {known.grade_id} was missing; it was put back as it was released."
                )
                self.notices.append(missing)
        laid_out = self._laid_out(page := list(page))
        if page:
            self._tell_what_was_added(laid_out)
        return RestoredCells(laid_out, tuple(self.notices))

    def _laid_out(self, page: Iterable[Cell]) -> list[Cell]:
        """The cells as they were released, in their order, with what the learner wrote in its
        places."""
        open_ones = {known.grade_id: known for known in self.released}
        laid_out = []
        for cell in page:
            name = name_of(cell)
            if not name:
                laid_out.append(
                    shaped(
                        {"cell_type": cell["cell_type"], "metadata": {}, "source": cell["source"]}
                    )
                )
            elif name in open_ones:
                laid_out.append(self._filled(open_ones.pop(name)))
        return laid_out + [self._filled(known) for known in open_ones.values()]

    def _filled(self, known: ReleasedCell) -> Cell:
        source = known.source
        if known.solution and known.grade_id in self._kept:
            source = self._kept[known.grade_id]["source"]
            if known.cell_type != "code" and source != known.source:
                source = literal(source)
        marks: dict[str, Any] = {"nbgrader": known.mark}
        if known.solution and known.grade and known.grade_id not in self._kept:
            marks[PUT_BACK] = True
        return shaped({"cell_type": known.cell_type, "metadata": marks, "source": source})

    def _tell_what_was_added(self, laid_out: Sequence[Cell]) -> None:
        shown = {cell["source"].strip() for cell in laid_out} | {""}
        kept = {id(cell) for cell in self._kept.values()}
        added = [cell for cell in self.cells if id(cell) not in kept and not name_of(cell)]
        count = sum(cell["source"].strip() not in shown for cell in added)
        if count:
            self.notices.append(
                f"{count} cells that were not released are left out here; submitted/ has them."
            )

    def _keep_locked(self, known: ReleasedCell) -> None:
        found = [cell for cell in self.cells if name_of(cell) == known.grade_id]
        if found:
            self._kept[known.grade_id] = found[-1]
        if len(found) > 1:
            self.notices.append(
                f"the cell {known.grade_id} was there {len(found)} times; one of them counts."
            )

    def _find_solutions(self, cell_type: str, defines: Collection[str]) -> None:
        """The cells of a type that the learner wrote in, found as every way of grading finds them."""
        wanted = {
            each.grade_id: each
            for each in self.released
            if each.solution and each.cell_type == cell_type
        }
        locked = {id(cell) for cell in self._kept.values()}
        cells = [
            cell for cell in self.cells if cell["cell_type"] == cell_type or name_of(cell) in wanted
        ]
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
        for name in [name for name in wanted if name not in self._kept and cell_type == "markdown"]:
            self._find_answer(name)

    def _find_answer(self, name: str) -> None:
        """An answer whose mark was lost, by the cell's id or by the question above it."""
        question = f"**Question {name.rpartition('-')[2]}**"
        before: Cell = {"source": ""}
        for cell in self.cells:
            asked = before["source"].startswith(question)
            if (
                cell["cell_type"] == "markdown"
                and not name_of(cell)
                and (asked or cell.get("id") == name)
            ):
                self._kept[name] = cell
                self.notices.append(
                    f"the cell {name} had lost its mark; it was known by its place."
                )
                return
            before = cell
