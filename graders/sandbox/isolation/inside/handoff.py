"""What the processes on the way from the supervisor to the worker hand to each other, and what they
hold on to."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import dataclass
from typing import Any

Config = dict[str, Any]


@dataclass(frozen=True)
class WorkerSpec:
    """A worker to be. locks: what to put on, by name. uid: to run as; 0 for the grader's own.

    tell: a pipe on which a refusal is told to the supervisor; that everybody has closed it is the
    news that all went well.
    """

    locks: tuple[str, ...]
    uid: int
    config: Config
    tell: int

    @property
    def apart(self) -> bool:
        """In namespaces and a root of its own."""
        return "namespaces" in self.locks


def tell(config: Config, **message: object) -> None:
    """One message to the grader; it may have gone."""
    with contextlib.suppress(OSError):
        os.write(config["control"], json.dumps(message).encode())


def let_go(config: Config) -> None:
    """Keep neither the wire nor the output: they are the worker's."""
    os.close(config["wire"])
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    os.close(null)
