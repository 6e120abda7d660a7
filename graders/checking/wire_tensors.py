"""Tensors on the wire: a dtype name, a shape and flat items; the grader itself has no torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from graders.sandbox import protocol

DEEPEST = 6  # dimensions of a tensor that is looked at, and
LONGEST = 1 << 20  # the most of one of them: a tensor of nothing may be as wide as it likes
FLOATS = ("nan", "inf", "-inf")  # that JSON has no number for


@dataclass(frozen=True, slots=True)
class Array:
    """A tensor as it came over the wire."""

    dtype: str
    shape: tuple[int, ...]
    items: list[Any]

    @property
    def nested(self) -> Any:
        """As `tolist` would give it."""
        return _nested(self.items, self.shape)

    def __str__(self) -> str:
        # nan, and the like
        items = [float(item["s"]) if type(item) is dict else item for item in self.items]
        return str(_nested(items, self.shape))


def sent(dtype: str, nested: Any, shape: Sequence[int] | None = None) -> list[Any]:
    """A nested list as the wire carries it; shape is needed where a dimension is 0."""
    if shape is None:
        shape, level = [], nested
        while isinstance(level, Sequence):
            shape.append(len(level))
            level = level[0] if level else None
    flat = nested
    for _ in shape[1:]:
        flat = [item for row in flat for item in row]
    return [
        dtype,
        list(shape),
        [item if math.isfinite(item) else str(float(item)) for item in flat],
    ]


def as_views(args: Sequence[Any]) -> list[Any]:
    """The same arguments, their tensors views of larger ones: not contiguous. A tree, a list of
    tensors, stays."""
    return [
        [*arg, True] if type(arg) is list and arg and type(arg[0]) is str else arg for arg in args
    ]


def python_of(array: list[Any]) -> str:
    """A tensor from the wire as the Python that makes it."""
    dtype, shape, items, *view = array
    nested = str(_nested(items, tuple(shape))).replace("'", "")
    made = f"torch.tensor({nested}, dtype=torch.{dtype})" + (
        "" if all(shape) else f".reshape({shape})"
    )
    return f"torch.cat([{made}] * 2, -1)[..., :{shape[-1]}]" if view else made


def array_of(data: Any) -> Array | None:
    """A tensor from the wire; None if it is something else, or of a shape that no function of the
    contract returns.

    ProtocolError if its items are not what the driver writes for such a tensor.
    """
    if type(data) is not list or len(data) != 3:
        return None
    name, shape, items = data
    if (
        type(name) is not dict
        or type(name.get("s")) is not str
        or type(shape) is not list
        or type(items) is not list
    ):
        return None
    if not all(type(size) is int and size >= 0 for size in shape):
        raise protocol.ProtocolError("a tensor that is not one")
    known = name["s"].startswith(("int", "uint", "float", "bfloat", "bool"))
    if not known or len(shape) > DEEPEST or max(shape, default=0) > LONGEST:
        return None
    if math.prod(shape) != len(items) or not all(_is_item(item, name["s"]) for item in items):
        raise protocol.ProtocolError("a tensor that is not one")
    return Array(name["s"], tuple(shape), items)


def _is_item(item: Any, dtype: str) -> bool:
    if dtype == "bool":
        return type(item) is bool
    if "float" in dtype:
        return type(item) is float or (
            type(item) is dict and list(item) == ["s"] and item["s"] in FLOATS
        )
    return type(item) is int


def _nested(items: list[Any], shape: tuple[int, ...]) -> Any:
    if len(shape) == 0:
        return items[0]
    if len(shape) == 1:
        return items
    size = math.prod(shape[1:])
    return [_nested(items[row * size : (row + 1) * size], shape[1:]) for row in range(shape[0])]
