"""What an engine has loaded, as it proves it itself, held against the checkpoint that it was given."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from reference_engine.llama.config import LlamaConfig, from_json
from reference_engine.peers.loaded_weights import digest

if TYPE_CHECKING:
    from reference_engine.model import Model

DTYPE = "float32"
"""What engines are compared in, if nothing else is said."""
HALF, INT8 = "bfloat16", "q8_0"
DTYPES = (DTYPE, HALF, INT8)
"""What they can be compared in: q8_0 is int8 with a scale for every 32 weights."""
BEST = "best"
"""In place of one of these: each engine in the one that it is quickest in."""
SHOWN = 12
"""Digits of a digest that a person compares."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """weights: the digest of the checkpoint's tensors
    (`reference_engine.peers.loaded_weights.digest`). parameters, dtype: of what computes.

    An engine recomputes the digest from the folder that it was given, and counts in its own memory.
    """

    weights: str
    parameters: int
    dtype: str = DTYPE

    def __str__(self) -> str:
        return f"{self.parameters:,} parameters in {self.dtype}"

    def difference(self, given: Loaded) -> str:
        """How this differs from what was given, as a clause; "" when it does not. Nothing is
        rounded or tolerated."""
        if self.weights != given.weights:
            return f"it loaded weights {self.weights[:SHOWN]}, it was given {given.weights[:SHOWN]}"
        if (self.parameters, self.dtype) != (given.parameters, given.dtype):
            return f"it holds {self}, it was given {given}"
        return ""

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return asdict(self)


def read_loaded(answer: object) -> Loaded | None:
    """What an engine said that it has loaded; None when it did not say all of it."""
    if not isinstance(answer, Mapping):
        return None
    weights, parameters, dtype = (answer.get(name) for name in ("weights", "parameters", "dtype"))
    if not isinstance(weights, str) or type(parameters) is not int or not isinstance(dtype, str):
        return None
    return Loaded(weights, parameters, dtype) if weights and parameters > 0 and dtype else None


def given(folder: Path, config: LlamaConfig, dtype: str = DTYPE) -> Loaded:
    """What an engine must have loaded that is given this folder. Raises OSError and ValueError."""
    return Loaded(digest(folder), config.parameters, dtype)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A folder, and what an engine has loaded that serves it."""

    folder: Path
    loaded: Loaded


@contextmanager
def checkpoint(model: Model, dtype: str = "") -> Iterator[Checkpoint]:
    """The folder that every engine loads: a temporary one, its config.json complete, its weights
    the model's own.

    dtype: what engines make of them; "": the model's. Raises ModelError when there is no room for
    it.
    """
    from reference_engine.model import write

    with TemporaryDirectory(prefix="course-race-") as name:
        folder = Path(name)
        write(model, folder)
        yield Checkpoint(
            folder, given(folder, model.config, dtype or str(model.dtype).removeprefix("torch."))
        )


class NoModel(Exception):
    """There is no such model today: one sentence."""


def of_model(name: str) -> Loaded:
    """What engines load today that serve the model called `name`.

    Weights that are made from a seed are made for it, once; torch is imported for those only.
    Raises NoModel, OSError and ValueError.
    """
    from reference_engine.waiter import CHECKPOINT

    folder = CHECKPOINT if name == "waiter" else Path(name)
    if not (folder / "config.json").is_file():
        return _made(name)
    return given(
        folder, from_json(json.loads((folder / "config.json").read_text(encoding="utf-8")))
    )


@cache
def _made(name: str) -> Loaded:
    from reference_engine.model import ModelError
    from reference_engine.model_loader import load_model

    try:
        with checkpoint(load_model(name)) as written:
            return written.loaded
    except ModelError as error:
        raise NoModel(str(error)) from error
