"""A table as spreadsheets save it: in UTF-8 or UTF-16, marked or not, columns apart by commas,
semicolons or tabs."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path

from graders.submissions.parcel import composed
from graders.submissions.plain_text import in_utf8

DELIMITERS = (",", ";", "\t")


class BadTable(Exception):
    """The file cannot be read, or has not the column; a clause, "is no CSV file in UTF-8"."""


@dataclass(frozen=True, slots=True)
class Line:
    """A line of the file, counted from 1, and its cells by the names of their columns, in small
    letters."""

    number: int
    cells: dict[str, str]

    def __getitem__(self, column: str) -> str:
        return self.cells.get(column, "")


def read(path: Path, needs: str) -> list[Line]:
    """The lines below the heading. needs: the column that there must be. Raises BadTable."""
    try:
        text = (
            in_utf8(path.read_bytes()).decode("utf-8-sig").replace("\r\n", "\n").replace("\r", "\n")
        )
        heading = text.partition("\n")[0]
        headings = {
            mark: _names(next(csv.reader([heading], delimiter=mark), [])) for mark in DELIMITERS
        }
        delimiter = next((mark for mark, names in headings.items() if needs in names), "")
        rows = csv.reader(text.splitlines(keepends=True), delimiter=delimiter or ",")
        columns = _names(next(rows, []))
        found = [Line(rows.line_num, _cells(columns, row)) for row in rows if any(row)]
    except OSError as trouble:
        raise BadTable(f"cannot be read: {trouble.strerror}") from None
    except (UnicodeDecodeError, csv.Error) as wrong:
        raise BadTable(f"is no CSV file in UTF-8: {wrong}") from None
    if not delimiter:
        raise BadTable(f"has no column `{needs}`")
    return found


def _names(heading: list[str]) -> list[str]:
    return [composed(name).strip().casefold() for name in heading]


def _cells(columns: list[str], row: list[str]) -> dict[str, str]:
    return {name: cell.strip() for name, cell in zip(columns, row, strict=False) if name}
