"""Block tables that remember which of their cells changed, so that a step sends the changes alone
to the device."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from reference_engine.batch import Tables
from reference_engine.slots import Block


class ChangingTables(Tables):
    """`Tables` whose `changed` holds {flat index: block} of every cell that differs from what was
    sent last."""

    def __init__(self, seats: int, width: int) -> None:
        super().__init__(seats, width)
        self.changed: dict[int, Block] = {}

    def put(self, seat: int, table: Sequence[Block]) -> None:
        """Make `table` the table of a seat."""
        row = self.array[seat]
        before = row.copy()
        super().put(seat, table)
        first = seat * self.array.shape[1]
        for column in np.flatnonzero(before != row).tolist():
            self.changed[first + column] = int(row[column])
