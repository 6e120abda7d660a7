"""How long a part may keep the grader busy, all that is done with it together."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field


@dataclass(slots=True)
class Allowance:
    """Seconds that workers may take to start, to load, to answer and to end. whole: at first. told:
    that they are gone, one sentence for a report."""

    whole: float
    told: str = "It took too long."
    left: float = field(init=False)

    def __post_init__(self) -> None:
        self.left = self.whole

    @property
    def spent(self) -> bool:
        """Nothing is left."""
        return self.left <= 0

    @contextlib.contextmanager
    def spending(self, clock: Callable[[], float] = time.monotonic) -> Iterator[None]:
        """What is done meanwhile is paid from it."""
        began = clock()
        try:
            yield
        finally:
            self.left -= clock() - began
