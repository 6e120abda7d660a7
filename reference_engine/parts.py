"""The parts of an engine, how one is read from a file, and how a bad one is named.

Slots are those of exercises 1 to 6: "block_manager", "scheduler", "prefix_cache", "medusa",
"speculative_sampling" and "draft_tree". This module imports no torch.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from reference_engine.slots import BlockManager, PrefixCache, Scheduler

CLASS_NAMES = {
    "block_manager": "BlockManager",
    "scheduler": "Scheduler",
    "prefix_cache": "PrefixCache",
}
FUNCTION_NAMES = {
    "medusa": ("build_tree", "propose", "verify_greedy", "verify_typical", "compact"),
    "speculative_sampling": ("probabilities", "accept_chain", "accept_siblings"),
    "draft_tree": ("frontier", "grow", "rerank"),
    "paged_attention": ("paged_decode",),
}
"""Parts that are modules of functions."""
SLOTS = (*CLASS_NAMES, "medusa", "speculative_sampling", "draft_tree")
"""Those that an engine is made of."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What an engine is made of: classes for the first three slots, modules for the others; None:
    without."""

    block_manager: type[BlockManager]
    scheduler: type[Scheduler]
    prefix_cache: type[PrefixCache] | None = None
    medusa: Any = None
    speculative_sampling: Any = None
    draft_tree: Any = None


class PartError(Exception):
    """A part broke its contract while the engine ran.

    slot: which part. sentence: what it did. step: in which step (counted from 0), None outside of
    steps.
    """

    def __init__(self, slot: str, sentence: str, step: int | None = None) -> None:
        at = "" if step is None else f"step {step}: "
        super().__init__(f"{slot}: {at}{sentence}")
        self.slot = slot
        self.sentence = sentence
        self.step = step


class PartMissing(Exception):
    """No part could be read from a file. The message says why in one sentence."""


def load_part(path: str | os.PathLike[str], slot: str) -> Any:
    """The class (of FUNCTION_NAMES: the module) that fills `slot`, from the Python file at `path`.

    Raises ValueError for an unknown slot; PartMissing when the file cannot be read, parsed or
    imported, or lacks the name; the cause is chained.
    """
    known = (*CLASS_NAMES, *FUNCTION_NAMES)
    if slot not in known:
        raise ValueError(f"unknown slot {slot!r}: choose one of {', '.join(known)}")
    module = _import_file(Path(path), slot)
    if slot in FUNCTION_NAMES:
        missing = [
            name for name in FUNCTION_NAMES[slot] if not callable(getattr(module, name, None))
        ]
        if missing:
            raise PartMissing(f"{path} has no {' or '.join(missing)}")
        return module
    part = getattr(module, CLASS_NAMES[slot], None)
    if not isinstance(part, type):
        raise PartMissing(f"{path} has no class {CLASS_NAMES[slot]}")
    return part


def part_files(folder: Path, slots: Iterable[str] = SLOTS) -> dict[str, Path]:
    """The files of parts anywhere in `folder`, by slot: each is called as its slot. What is lacking
    is left out."""
    found = {slot: sorted(folder.rglob(f"{slot}.py")) for slot in slots}
    return {slot: paths[0] for slot, paths in found.items() if paths}


def _import_file(path: Path, slot: str) -> ModuleType:
    name = f"part_{slot}_{abs(hash(path.resolve())):x}"
    try:
        source = path.read_bytes()
    except OSError as error:
        raise PartMissing(f"{path} cannot be read: {error.strerror or error}") from error
    spec = importlib.util.spec_from_loader(name, loader=None, origin=str(path))
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    module.__file__ = str(path)
    before = sys.modules.get(name)
    sys.modules[name] = module
    try:
        exec(compile(source, str(path), "exec"), module.__dict__)
    except SyntaxError as error:
        raise PartMissing(f"{path}, line {error.lineno}: {error.msg}") from error
    except (Exception, SystemExit) as error:
        raise PartMissing(f"{path} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        if sys.modules[name].__dict__.get("__name__") != name and before is not None:
            sys.modules[name] = before
    return module
