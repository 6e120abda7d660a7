"""Parts to surround the part under test with where no others are loaded: the shortest that keep the
contract.

They look through everything they hold and are slow; nobody measures them. They lie outside of what
a worker can read, and are sent to it as text, but for the slot that is being checked: there they
would be the answer.
"""

from __future__ import annotations

import importlib
from collections.abc import Collection, Mapping
from pathlib import Path
from types import ModuleType

HERE = Path(__file__).parent
SLOTS = tuple(sorted(path.stem for path in HERE.glob("[!_]*.py")))


def modules() -> Mapping[str, ModuleType]:
    """All of them, for trusted parts in this process."""
    return {slot: importlib.import_module(f"{__name__}.{slot}") for slot in SLOTS}


def texts(own: str, loaded: Collection[str]) -> Mapping[str, str]:
    """What a worker needs that checks the slot `own` and has parts for the slots `loaded`: slot ->
    source."""
    wanted = [slot for slot in SLOTS if slot not in loaded and slot != own]
    return {slot: (HERE / f"{slot}.py").read_text(encoding="utf-8") for slot in wanted}
