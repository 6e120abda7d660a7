"""Where a worker process comes from: one door, `spawn`, whatever the level of isolation (see
`levels`)."""

from graders.sandbox.isolation.levels import FOR_MARKS, HIGHEST, LEVELS, below
from graders.sandbox.isolation.limits import Limits
from graders.sandbox.isolation.process import (
    CannotStart,
    MachineFault,
    Process,
    WorkerLost,
    held_up,
    spawn,
)

__all__ = [
    "FOR_MARKS", "HIGHEST", "LEVELS", "CannotStart", "Limits", "MachineFault", "Process", "WorkerLost", "below",
    "held_up", "spawn",
]  # fmt: skip
